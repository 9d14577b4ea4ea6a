"""`segcode predict`: images to maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from segcode.cli.loading import Chosen
from segcode.cli.options import Images, Out, Resume
from segcode.cli.outputs import Made, are_written, map_files, refuse_to_overwrite, write_each
from segcode.errors import DataError

if TYPE_CHECKING:
    from segcode.tensors import Image


def predict(images: Images, chosen: Chosen, out: Out, resume: Resume = False) -> None:
    """Predict maps of images; no pixel is labelled.

    Each image gives NAME_labels.png with class indices as grey values, NAME_overlay.png with class colours over the
    image, and NAME_uncertainty.png, the entropy of the class probabilities: bright where the map may be wrong.
    Images of several folders keep these folders below OUT. An image that cannot be read does not stop the others;
    the end of the output lists all such images.
    """
    from segcode.data.files import find_images, output_names
    from segcode.data.images import read_image

    found = find_images(images)
    named, clashes = output_names(found)
    refuse_to_overwrite(found, [file for name in named for file in map_files(out / name)])
    todo = [name for name in named if not (resume and are_written(out / name))]
    refiner, classes = chosen.refiner()

    def make(name: str, image: Image) -> Made:
        prediction = refiner.set_image(image, name)
        return Made(out / name, image, prediction.labels, prediction.entropy())

    failures = write_each(
        todo, lambda name: read_image(named[name]), make, lambda _, made: made.write(classes), "Predicting"
    )
    there = f", {len(named) - len(todo)} were there" if resume else ""
    typer.echo(f"{len(todo) - len(failures)} of {len(found)} images are predicted{there}, in {out}")
    if problems := [*clashes.values(), *failures]:
        raise DataError("\n".join(problems))
