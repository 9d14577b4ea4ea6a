"""`segcode predict`: images to maps."""

from __future__ import annotations

from typing import Annotated

import typer

from segcode.cli.loading import load_refiner
from segcode.cli.options import Device, Model, Out
from segcode.cli.outputs import MAP_FILES, output_names, refuse_to_overwrite, write_map
from segcode.cli.progress import progress
from segcode.errors import DataError

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGES...", help="Image files, folders, or patterns such as 'run/**/*.png'.", show_default=False
    ),
]


def predict(images: Images, out: Out, model: Model = "streets", device: Device = "auto") -> None:
    """Label images, without any truth.

    Each image gives NAME_labels.png with class indices as grey values, NAME_overlay.png with class colours over the
    image, and NAME_uncertainty.png, bright where the model expects to err. Images of several folders keep these
    folders below OUT. An image that cannot be read does not stop the others.
    """
    from segcode.data.files import find_images, read_image

    paths = find_images(images)
    places = [out / name for name in output_names(paths)]
    refuse_to_overwrite(paths, [place.with_name(place.name + ending) for place in places for ending in MAP_FILES])
    refiner, classes = load_refiner(model, device)
    problems = []
    for path, place in progress(zip(paths, places, strict=True), len(paths), "Predicting"):
        try:
            image = read_image(path)
        except DataError as error:
            problems.append(str(error))
            continue
        prediction = refiner.set_image(image)
        write_map(place, image, prediction.labels, prediction.uncertainty, classes)
    typer.echo(f"{len(paths) - len(problems)} of {len(paths)} images are labelled, in {out}")
    if problems:
        raise DataError("\n".join(problems))
