"""`segcode sample`: several maps of one image, drawn from the posterior."""

from __future__ import annotations

from typing import Annotated

import typer

from segcode.cli import options
from segcode.cli.given_truth import GivenTruth
from segcode.cli.loading import Chosen
from segcode.cli.outputs import refuse_to_overwrite


def sample(
    image: options.ImagePath,
    given: GivenTruth,
    chosen: Chosen,
    out: options.Out,
    number: Annotated[int, typer.Option("-n", min=1, help="How many maps.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other maps.")] = 0,
) -> None:
    """Draw several maps from the posterior, all with the labelled pixels as given.

    Where the labels settle the class the maps agree; elsewhere they differ as the model is uncertain. Without labels
    they are drawn from the prior.

    The results are NAME_sample_01_labels.png and so on, with class indices as grey values, and NAME_samples.png, which
    shows them all and where they differ.
    """
    from segcode.data.files import name_of
    from segcode.data.images import read_image
    from segcode.data.labels import write_labels
    from segcode.export.comparison import sample_sheet
    from segcode.export.picture import write_picture

    sheet = out / f"{name_of(image)}_samples.png"
    files = [out / f"{name_of(image)}_sample_{i:02d}_labels.png" for i in range(1, number + 1)]
    refuse_to_overwrite([image, *given.files], [*files, sheet])
    picture = read_image(image)
    refiner, classes = chosen.refiner()
    known = given.read((picture.shape[0], picture.shape[1]), classes) if given else None
    refiner.set_image(picture, name_of(image))
    if known is not None:
        typer.echo(str(refiner.refine(known).status))
    maps = [drawn.labels for drawn in refiner.sample(number, seed)]
    for path, drawn in zip(files, maps, strict=True):
        write_labels(path, drawn, classes)
    write_picture(sheet, sample_sheet(picture, maps, classes))
    typer.echo(f"Look at {sheet}")
