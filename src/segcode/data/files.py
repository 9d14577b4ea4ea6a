"""Label images as arrays, and the images that a command line names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Final

import numpy as np

from segcode.classes import Colour
from segcode.data.images import open_image, read_image, upright
from segcode.errors import DataError
from segcode.tensors import LabelImage

IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
"""The files of a folder that count as images."""


def read_index_labels(path: Path, train_ids: Mapping[int, int]) -> LabelImage:
    """A single-channel 8-bit label file as train ids (H, W), void = IGNORE.

    Args:
        path: greyscale or palette; the palette's colours do not matter.
        train_ids: the train id, or IGNORE, of every id that the file may have.

    Raises:
        DataError: if the file is unreadable, has other channels, or has an id that is not in `train_ids`.
    """
    with open_image(path) as opened:
        picture = upright(opened)
        if picture.mode not in ("L", "P"):
            raise DataError(
                f"{path} has pixels of mode {picture.mode}: labels are class ids in one channel of 8 bits, "
                "so save it as greyscale (L) or palette (P) PNG"
            )
        ids, table = np.asarray(picture), np.zeros(256, np.uint8)
    table[list(train_ids)] = list(train_ids.values())
    if unknown := sorted(set(np.unique(ids).tolist()) - set(train_ids)):
        raise DataError(
            f"{path} has the ids {_listed(unknown)}, which are neither a class nor void "
            f"(those are {_listed(sorted(train_ids))}): correct the labels, or declare the ids"
        )
    return np.take(table, ids)


def read_colour_labels(path: Path, train_ids: Mapping[Colour, int]) -> LabelImage:
    """A label file that is painted in the classes' colours as train ids (H, W), void = IGNORE.

    Raises:
        DataError: if the file is unreadable, or has a colour that is not in `train_ids`.
    """
    red, green, blue = np.moveaxis(read_image(path).astype(np.int64), -1, 0)
    packed = red << 16 | green << 8 | blue
    present, index = np.unique(packed, return_inverse=True)
    colours = [(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in present]
    if unknown := [c for c in colours if c not in train_ids]:
        raise DataError(
            f"{path} has {len(unknown)} colours of no class, first {unknown[0]}: "
            "labels must not be scaled smoothly or saved as JPEG; take the original file"
        )
    return np.array([train_ids[c] for c in colours], np.uint8)[index].reshape(packed.shape)


def find_images(arguments: Iterable[str | Path]) -> list[Path]:
    """The image files that a command line names, each once, in natural order (frame 2 before frame 10).

    Args:
        arguments: files, folders (the images directly in them), and patterns such as "run/**/*.png".

    Raises:
        DataError: if an argument leads to no image.
    """
    return natural_order({path for argument in arguments for path in _images_of(Path(argument))})


def output_names(images: Sequence[Path]) -> list[Path]:
    """A name for each image's results: its own without the ending, and its folder below the one that all share.

    Raises:
        DataError: if two images of a folder differ in nothing but their ending.
    """
    shared = shared_folder(images)
    names = [_absolute(path).relative_to(shared).with_suffix("") for path in images]
    owners: dict[Path, Path] = {}
    for name, image in zip(names, images, strict=True):
        if name in owners:
            raise DataError(f"{owners[name]} and {image} would both be written as '{name}': rename one, or run twice")
        owners[name] = image
    return names


def shared_folder(files: Sequence[Path]) -> Path:
    """The deepest folder that all files are below."""
    return Path(os.path.commonpath([_absolute(path).parent for path in files]))


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted with the numbers in their names taken as numbers."""
    return sorted(paths, key=_natural_key)


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder in natural order; none if there is no such folder."""
    return natural_order(_only_images(folder.iterdir())) if folder.is_dir() else []


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _natural_key(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", str(path))
    return [(int(part) if place % 2 else -1, part) for place, part in enumerate(parts)]


def _images_of(argument: Path) -> list[Path]:
    if argument.is_file():
        return [argument]
    if argument.is_dir():
        found, reason = images_in(argument), "has no images in it"
    else:
        matches = glob(str(argument), recursive=True)  # noqa: PTH207 - pathlib's takes no absolute patterns
        found, reason = _only_images(map(Path, matches)), "is no file, folder or matching pattern"
    if not found:
        raise DataError(f"{argument} {reason}: give image files ({', '.join(sorted(IMAGE_SUFFIXES))}) or their folder")
    return found


def _only_images(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
