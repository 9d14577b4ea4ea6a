"""Where results go, so that none overwrites another or something that was there before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from segcode.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray

    from segcode.classes import ClassSet
    from segcode.tensors import Image, LabelImage

MAP_FILES = ("_labels.png", "_overlay.png", "_uncertainty.png")
"""Endings that `write_map` adds to the name of an image."""


def refuse_to_overwrite(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raises DataError if a result would be written over a file that it is made from."""
    read = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in read:
            raise DataError(f"{path} is an input and would be overwritten: give another folder with -o")


class Made(NamedTuple):
    """The arguments of `write_map` for one image, to be written while the next one is worked on.

    Attributes:
        place: path of the results without their endings.
        image: RGB (H, W, 3).
        labels: class indices (H, W).
        uncertainty: entropy in nats, (H, W).
    """

    place: Path
    image: Image
    labels: LabelImage
    uncertainty: Float[ndarray, "H W"]


def write_map(
    place: Path, image: Image, labels: LabelImage, uncertainty: Float[ndarray, "H W"], classes: ClassSet
) -> None:
    """Write class indices, class colours over the image, and the entropy: `place` with each of `MAP_FILES`."""
    from segcode.export.picture import heat, overlay, write_picture

    pictures = (labels, overlay(image, classes.colourise(labels)), heat(uncertainty))
    for ending, picture in zip(MAP_FILES, pictures, strict=True):
        write_picture(place.with_name(place.name + ending), picture)
