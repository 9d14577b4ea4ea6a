"""`segcode sample`: several maps of one image, as likely as the model finds them."""

from __future__ import annotations

from typing import Annotated

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
from segcode.cli.outputs import refuse_to_overwrite
from segcode.refinement.config import RefinementConfig, Stopping


def sample(
    image: ImagePath,
    truth: Masks,
    complete: Complete,
    point: Points,
    stroke: Strokes,
    model: Model,
    out: Out,
    number: Annotated[int, typer.Option("-n", min=1, help="How many maps.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other maps.")] = 0,
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
    """Draw several maps that the model holds possible.

    Without truth the codes are drawn from the model's prior. With truth they are drawn around the code that explains
    it: what the truth settles stays the same in all maps, what it leaves open differs.

    The results are NAME_sample_01_labels.png and so on, with class indices as grey values, and NAME_samples.png, which
    shows them all and where they differ.
    """
    from segcode.data.files import read_image
    from segcode.export.comparison import sample_sheet
    from segcode.export.picture import write_picture
    from segcode.truth.truth import Truth

    given = GivenTruth(truth, complete, soft, labels, point, stroke, radius)
    sheet = out / f"{image.stem}_samples.png"
    files = [out / f"{image.stem}_sample_{i:02d}_labels.png" for i in range(1, number + 1)]
    refuse_to_overwrite([image, *given.files], [*files, sheet])
    picture = read_image(image)
    infer_whole &= bool(given.files)  # strokes and points tell parts
    config = refinement_config(solver, energy, evidence, hold, infer_whole, prior, steps)
    refiner, classes = load_refiner(model, device, config)
    size = picture.shape[0], picture.shape[1]
    known = given.read(size, classes) if given else Truth.empty(size, len(classes))
    refiner.set_image(picture)
    if given:
        typer.echo(str(refiner.refine(known).solution))
    maps = [drawn.pasted(known) for drawn in refiner.sample(number, seed)]
    for path, drawn in zip(files, maps, strict=True):
        write_picture(path, drawn)
    write_picture(sheet, sample_sheet(picture, maps, classes))
    typer.echo(f"Look at {sheet}")
