"""The names of image files: which belong together, and which a command line means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path
from typing import Final
from unicodedata import normalize

from segcode.data.images import is_result
from segcode.errors import DataError

IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
"""The files of a folder that count as images."""

ARRAY_SUFFIXES: Final = frozenset({".npy", ".npz"})
"""Those that count as arrays."""


def find_images(arguments: Iterable[str | Path]) -> list[Path]:
    """The image files that a command line names, each once, in natural order (frame 2 before frame 10).

    A folder or a pattern gives no hidden files, and no pictures that segcode made (`is_result`).

    Args:
        arguments: files, folders (the images directly in them), and patterns such as "run/**/*.png". Brackets that are
            part of a name are taken so.

    Raises:
        DataError: if an argument leads to no image.
    """
    found = {_absolute(path): path for argument in arguments for path in _images_of(Path(argument))}
    return natural_order(found.values())


def name_of(path: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> str:
    """The name of a sample: that of its file in composed Unicode (NFC), without one of the suffixes.

    A name that would be dots alone, which a folder's name may be, keeps its ending.
    """
    ends = path.suffix.lower() in suffixes and path.stem.strip(".")
    return normalize("NFC", path.stem if ends else path.name)


def key_of(name: Path) -> str:
    """A name with its folders, such as `output_names` gives, in composed Unicode."""
    return normalize("NFC", name.as_posix())


def by_name(files: Iterable[Path], suffixes: frozenset[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Files of one folder by `name_of` them. Raises DataError if two have one name."""
    named: dict[str, Path] = {}
    for path in files:
        name = name_of(path, suffixes)
        other = named.setdefault(name, path)
        if other is not path:
            raise DataError(f"{other} and {path} have one name, '{name}': rename or remove one")
    return named


def output_names(images: Sequence[Path]) -> list[Path]:
    """A name for each image's results: `name_of` it, in its folder below the one that all share.

    Raises:
        DataError: if two images of a folder differ in nothing but their ending.
    """
    shared = shared_folder(images)
    names = [_absolute(path).relative_to(shared).with_name(name_of(path)) for path in images]
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
    """The images directly in a folder in natural order, but no pictures that segcode made, as `find_images`."""
    return [path for path in pictures_in(folder) if not is_result(path)]


def pictures_in(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """All image files directly in a folder, hidden ones left out, in natural order; none if there is no such folder."""
    return natural_order(_only_images(folder.iterdir(), suffixes)) if folder.is_dir() else []


def pictures_below(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """All image files, or those of other suffixes, in a folder and in those below it, by `key_of` their names.

    Hidden folders and files are left out.
    """
    folders = [folder, *(path for path in natural_order(folder.rglob("*")) if path.is_dir())]
    return {
        key_of(inner.relative_to(folder) / name): path
        for inner in folders
        if not any(part.startswith(".") for part in inner.relative_to(folder).parts)
        for name, path in by_name(pictures_in(inner, suffixes), suffixes).items()
    }


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name


def _natural_key(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", str(path))
    return [(int(part) if place % 2 else -1, part) for place, part in enumerate(parts)]


def _images_of(argument: Path) -> list[Path]:
    if argument.is_file():
        return [argument]
    if argument.is_dir():
        found, reason = pictures_in(argument), "has no images in it"
    else:
        found, reason = _only_images(_matches(argument)), "is no file, folder or matching pattern"
    if not found:
        raise DataError(f"{argument} {reason}: give image files ({', '.join(sorted(IMAGE_SUFFIXES))}) or their folder")
    if images := [path for path in found if not is_result(path)]:
        return images
    raise DataError(f"{argument} has no images but what segcode made ({found[0].name}): give photographs")


def _matches(pattern: Path) -> set[Path]:
    """The files of a pattern. Its first folders, while they exist, are names; brackets in the rest may be names."""
    known = next(parent for parent in pattern.parents if parent.is_dir())
    rest = str(pattern.relative_to(known))
    found = glob(rest, root_dir=known, recursive=True)  # noqa: PTH207 - pathlib's finds hidden files
    found += glob(rest.replace("[", "[[]"), root_dir=known, recursive=True)  # noqa: PTH207
    return {known / match for match in found}


def _only_images(paths: Iterable[Path], suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    return [path for path in paths if path.suffix.lower() in suffixes and path.name[0] != "." and path.is_file()]
