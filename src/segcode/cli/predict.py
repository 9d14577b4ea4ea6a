"""`segcode predict`: images to maps."""

from __future__ import annotations

from pathlib import Path
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
    from segcode.data.files import find_images, key_of, output_names
    from segcode.data.images import read_image

    paths = find_images(images)
    names = dict(zip(paths, output_names(paths), strict=True))
    places = {path: out / name for path, name in names.items()}
    refuse_to_overwrite(paths, [file for place in places.values() for file in map_files(place)])
    todo = [path for path in paths if not (resume and are_written(places[path]))]
    refiner, classes = chosen.refiner()

    def make(path: Path, image: Image) -> Made:
        prediction = refiner.set_image(image, key_of(names[path]))
        return Made(places[path], image, prediction.labels, prediction.entropy())

    problems = write_each(todo, read_image, make, lambda _, made: made.write(classes), "Predicting")
    there = f", {len(paths) - len(todo)} were there" if resume else ""
    typer.echo(f"{len(todo) - len(problems)} of {len(paths)} images are predicted{there}, in {out}")
    if problems:
        raise DataError("\n".join(problems))
