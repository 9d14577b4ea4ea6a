"""The pictures of a map: class indices, class colours over the image, and the uncertainty."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.data.labels import write_labels
from segcode.export.picture import heat, overlay, write_picture
from segcode.tensors import Image, LabelImage


def map_files(place: Path) -> list[Path]:
    """The files that `write_map` writes at a path: class indices, class colours over the image, and the entropy."""
    return [place.with_name(place.name + ending) for ending in ("_labels.png", "_overlay.png", "_uncertainty.png")]


def are_written(place: Path) -> bool:
    """Whether all files are there that `map_files` names."""
    return all(file.exists() for file in map_files(place))


def write_map(
    place: Path, image: Image, labels: LabelImage, uncertainty: Float[ndarray, "H W"], classes: ClassSet
) -> None:
    """Write the pictures that `map_files` names.

    Args:
        place: path of the results without their endings.
        image: RGB (H, W, 3).
        labels: class indices (H, W).
        uncertainty: entropy in nats, (H, W).
        classes: that the indices mean.
    """
    indices, colours, entropy = map_files(place)
    write_labels(indices, labels, classes)
    write_picture(colours, overlay(image, classes.colourise(labels)))
    write_picture(entropy, heat(uncertainty))
