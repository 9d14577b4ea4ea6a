"""The names of image files: which belong together, and which a command line means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Final, NamedTuple
from unicodedata import normalize

from segcode.data.images import is_result
from segcode.errors import DataError

IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
"""The files of a folder that count as images."""

ARRAY_SUFFIXES: Final = frozenset({".npy", ".npz"})
"""Those that count as arrays."""


class Named(NamedTuple):
    """Files by their names.

    Attributes:
        files: those that have a name of their own, in their order.
        problems: for each other name the files that have it, and the cure.
    """

    files: dict[str, Path]
    problems: dict[str, str]


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


def by_name(files: Iterable[Path], name: Callable[[Path], str] = name_of) -> Named:
    """Files by their names. Of files that share one none is taken, since nothing tells which of them is meant."""
    named: dict[str, list[Path]] = {}
    for path in files:
        named.setdefault(name(path), []).append(path)
    problems = {
        each: f"{' and '.join(map(str, paths))} have one name, '{each}': rename or remove all but one"
        for each, paths in named.items()
        if len(paths) > 1
    }
    return Named({each: paths[0] for each, paths in named.items() if each not in problems}, problems)


def image_names(images: Sequence[Path]) -> dict[Path, str]:
    """A name for each image: `name_of` it, in its folder below the one that all share."""
    shared = shared_folder(images) if images else Path()
    return {path: _name_below(shared, path) for path in images}


def output_names(images: Sequence[Path], ending: str = "") -> Named:
    """Images by the names of their results: `image_names` without an ending."""
    names = image_names(images)
    return by_name(images, lambda path: names[path].removesuffix(ending))


def shared_folder(files: Sequence[Path]) -> Path:
    """The deepest folder that all files are below."""
    return Path(os.path.commonpath([_absolute(path).parent for path in files]))


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted with the numbers in their names taken as numbers."""
    return sorted(paths, key=natural_key)


def images_in(folder: Path) -> list[Path]:
    """The images directly in a folder in natural order, but no pictures that segcode made, as `find_images`."""
    return [path for path in pictures_in(folder) if not is_result(path)]


def pictures_in(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """All image files directly in a folder, hidden ones left out, in natural order; none if there is no such folder."""
    return natural_order(_only_images(folder.iterdir(), suffixes)) if folder.is_dir() else []


def pictures_below(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES, ending: str = "") -> Named:
    """All image files in a folder and in those below it that are not hidden, by the names that `output_names` gives."""
    found = [path for inner in _folders_from(folder) for path in pictures_in(inner, suffixes)]
    top = _absolute(folder)
    return by_name(natural_order(found), lambda path: _name_below(top, path, suffixes).removesuffix(ending))


def _name_below(folder: Path, path: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> str:
    """`name_of` a file with the folders that it is in below another, in composed Unicode."""
    return normalize("NFC", (_absolute(path).parent.relative_to(folder) / name_of(path, suffixes)).as_posix())


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name


def natural_key(path: Path) -> list[tuple[int, str]]:
    """A path as parts to sort by, with the numbers in it taken as numbers."""
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
    rest = pattern.relative_to(known).parts
    return {*_expanded(known, rest), *_expanded(known, [part.replace("[", "[[]") for part in rest])}


def _expanded(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    if "**" not in parts:
        found = glob(os.path.join(*parts), root_dir=folder)  # noqa: PTH118, PTH207 - pathlib's finds hidden files
        yield from (folder / match for match in found)
        return
    place = parts.index("**")
    for start in _expanded(folder, parts[:place]) if place else [folder]:
        for inner in _folders_from(start):
            yield from _expanded(inner, parts[place + 1 :] or ["*"])


def _folders_from(folder: Path) -> Iterator[Path]:
    """A folder and those below it that are not hidden. Links are followed, if they do not lead back."""
    for place, inner, _ in os.walk(folder, followlinks=True):
        inner[:] = [name for name in inner if name[0] != "." and _ends(Path(place, name))]
        yield Path(place)


def _ends(folder: Path) -> bool:
    """Whether no link on the way to a folder leads back to a folder before it."""
    way = [os.path.realpath(part) for part in (_absolute(folder), *_absolute(folder).parents)]
    return len(set(way)) == len(way)


def _only_images(paths: Iterable[Path], suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Those that are called as images, and are files or links to files that are not there, which reading them says."""
    return [
        path
        for path in paths
        if path.suffix.lower() in suffixes
        and path.name[0] != "."
        and (path.is_file() or (path.is_symlink() and not path.exists()))
    ]
