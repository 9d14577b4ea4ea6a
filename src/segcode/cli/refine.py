"""`segcode refine`: an image and partial truth to a better map."""

from __future__ import annotations

from typing import Annotated

import typer

from segcode.cli.given_truth import GivenTruth
from segcode.cli.loading import load_refiner
from segcode.cli.options import (
    Complete,
    Device,
    ImagePath,
    Masks,
    Model,
    Out,
    PartialLabels,
    Points,
    Radius,
    Soft,
    Strokes,
)
from segcode.cli.outputs import MAP_FILES, refuse_to_overwrite, write_map
from segcode.refinement.config import Energy, RefinementConfig, Solver

_SOLVING = "How the code is found"


def refine(
    image: ImagePath,
    truth: Masks,
    complete: Complete,
    point: Points,
    stroke: Strokes,
    out: Out,
    soft: Soft = False,
    labels: PartialLabels = None,
    radius: Radius = 2.0,
    solver: Annotated[
        Solver, typer.Option(help="The first is fast and safe.", rich_help_panel=_SOLVING)
    ] = RefinementConfig.solver,
    energy: Annotated[
        Energy, typer.Option(help="Euclidean is the paper's; cross-entropy is convex.", rich_help_panel=_SOLVING)
    ] = RefinementConfig.energy,
    evidence: Annotated[
        float,
        typer.Option(min=0, help="How hard each known pixel pulls on the map.", rich_help_panel=_SOLVING),
    ] = RefinementConfig.evidence,
    model: Model = "streets",
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
    refiner, classes = load_refiner(model, device, RefinementConfig(energy, solver, evidence))
    known = given.read((picture.shape[0], picture.shape[1]), classes)
    before = refiner.set_image(picture)
    refined = refiner.refine(known)
    after, revealed = refined.pasted(known), known.revealed().numpy()

    write_map(place, picture, after, refined.uncertainty, classes)
    write_picture(sheet, before_after(picture, before.labels, after, revealed, refined.uncertainty, classes))
    changed = (before.labels != after)[~revealed]
    typer.echo(str(refined.solution))
    typer.echo(
        f"{revealed.sum()} pixels were told; of the other {changed.size}, {changed.sum()} changed "
        f"({100 * changed.mean() if changed.size else 0:.1f} %)"
    )
    typer.echo(f"Look at {sheet}")
