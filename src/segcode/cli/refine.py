"""`segcode refine`: an image and partial truth to a better map."""

from __future__ import annotations

import typer

from segcode.cli.given_truth import GivenTruth
from segcode.cli.loading import load_refiner
from segcode.cli.options import (
    Complete,
    Device,
    Energy,
    Evidence,
    Hold,
    ImagePath,
    InferWhole,
    Masks,
    Model,
    Out,
    PartialLabels,
    Points,
    Prior,
    Radius,
    Soft,
    Solver,
    Steps,
    Strokes,
    refinement_config,
)
from segcode.cli.outputs import MAP_FILES, refuse_to_overwrite, write_map
from segcode.refinement.config import RefinementConfig, Stopping


def refine(
    image: ImagePath,
    truth: Masks,
    complete: Complete,
    point: Points,
    stroke: Strokes,
    model: Model,
    out: Out,
    soft: Soft = False,
    labels: PartialLabels = None,
    radius: Radius = 2.0,
    solver: Solver = RefinementConfig.solver,
    energy: Energy = RefinementConfig.energy,
    evidence: Evidence = RefinementConfig.evidence,
    hold: Hold = RefinementConfig.hold,
    infer_whole: InferWhole = RefinementConfig.infer_whole,
    prior: Prior = RefinementConfig.prior,
    steps: Steps = Stopping.steps,
    device: Device = "auto",
) -> None:
    """Tell what is known of some pixels, and let the whole map follow.

    The network's weights stay as they are. The code that explains the truth best is found, and changes the map beyond
    the known pixels too, where the same mistake was made. Give masks, labels, points and strokes in any mixture.

    The results are NAME_labels.png, in which the truth stands as given, NAME_overlay.png, NAME_uncertainty.png, and
    NAME_before_after.png, the one to look at.
    """
    from segcode.data.files import read_image
    from segcode.export.comparison import before_after
    from segcode.export.picture import write_picture

    given = GivenTruth(truth, complete, soft, labels, point, stroke, radius)
    place, sheet = out / image.stem, out / f"{image.stem}_before_after.png"
    maps = [place.with_name(place.name + ending) for ending in MAP_FILES]
    refuse_to_overwrite([image, *given.files], [*maps, sheet])
    picture = read_image(image)
    infer_whole &= bool(given.files)  # strokes and points tell parts
    config = refinement_config(solver, energy, evidence, hold, infer_whole, prior, steps)
    refiner, classes = load_refiner(model, device, config)
    known = given.read((picture.shape[0], picture.shape[1]), classes)
    before = refiner.set_image(picture)
    refined = refiner.refine(known)
    after, revealed = refined.pasted(known), known.revealed().numpy()

    entropy = refined.entropy()
    write_map(place, picture, after, entropy, classes)
    write_picture(sheet, before_after(picture, before.labels, after, revealed, entropy, classes))
    changed = (before.labels != after)[~revealed]
    typer.echo(str(refined.solution))
    typer.echo(
        f"{revealed.sum()} pixels were told; of the other {changed.size}, {changed.sum()} changed "
        f"({100 * changed.mean() if changed.size else 0:.1f} %)"
    )
    whole = [classes.names[i] for i in refined.elsewhere.whole.nonzero()[:, 0].tolist()]
    if inferred := [name for name in whole if name not in complete]:
        typer.echo(
            f"Seems to be told as a whole, so ruled out elsewhere (not with --no-infer-whole): {', '.join(inferred)}"
        )
    typer.echo(f"Look at {sheet}")
