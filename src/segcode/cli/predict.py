"""`segcode predict`: images to maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from segcode.cli.loading import load_refiner
from segcode.cli.options import Device, Images, Model, Out
from segcode.cli.outputs import MAP_FILES, Made, refuse_to_overwrite, write_map
from segcode.cli.progress import progress
from segcode.errors import DataError

if TYPE_CHECKING:
    from segcode.tensors import Image


def predict(images: Images, model: Model, out: Out, device: Device = "auto") -> None:
    """Predict maps of images; no pixel is labelled.

    Each image gives NAME_labels.png with class indices as grey values, NAME_overlay.png with class colours over the
    image, and NAME_uncertainty.png, the entropy of the class probabilities: bright where the map may be wrong.
    Images of several folders keep these folders below OUT. An image that cannot be read does not stop the others.
    """
    from segcode.data.files import find_images, output_names
    from segcode.data.prefetch import prefetch, write_behind

    paths = find_images(images)
    places = [out / name for name in output_names(paths)]
    refuse_to_overwrite(paths, [place.with_name(place.name + ending) for place in places for ending in MAP_FILES])
    refiner, classes = load_refiner(model, device)
    problems = []

    def maps() -> Iterator[Made]:
        images_or_problems = prefetch(_image_or_problem, paths)
        for image, place in progress(zip(images_or_problems, places, strict=True), len(paths), "Predicting"):
            if isinstance(image, DataError):
                problems.append(str(image))
                continue
            prediction = refiner.set_image(image)
            yield Made(place, image, prediction.labels, prediction.entropy())

    write_behind(lambda made: write_map(*made, classes), maps())
    typer.echo(f"{len(paths) - len(problems)} of {len(paths)} images are predicted, in {out}")
    if problems:
        raise DataError("\n".join(problems))


def _image_or_problem(path: Path) -> Image | DataError:
    from segcode.data.files import read_image

    try:
        return read_image(path)
    except DataError as error:
        return error
