"""The classes of other segmenters than segcode's: from a file, of a data set, or from names alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from segcode.classes import CAMVID, CITYSCAPES, ClassSet
from segcode.data.camvid import SEGNET_IDS
from segcode.data.cityscapes import TRAIN_IDS
from segcode.data.folder import CLASS_FILE, ClassFile, read_class_file
from segcode.errors import ConfigError, nearest
from segcode.palette import completed_colours
from segcode.tensors import IGNORE

NAMED: Final = {
    "camvid": ClassFile(CAMVID, SEGNET_IDS),
    "cityscapes": ClassFile(CITYSCAPES, TRAIN_IDS),
    "streets": ClassFile(CAMVID, SEGNET_IDS),
}
"""Class sets by name; ids in label files are the indices of the classes."""


def read_classes(name_or_file: str) -> ClassFile:
    """The classes of `NAMED`, or of a class file, or of the folder that holds one.

    Raises:
        ConfigError: if there is none of these, or the file is wrong.
    """
    path = Path(name_or_file)
    if name_or_file in NAMED and not path.is_file():
        return NAMED[name_or_file]
    if not path.exists():
        raise ConfigError(f"no class file and no class set is called '{name_or_file}': {nearest(name_or_file, NAMED)}")
    return read_class_file(path / CLASS_FILE if path.is_dir() else path)


def find_class_file(place: Path) -> Path | None:
    """The nearest `classes.toml`: in a folder, or in one of the two above it."""
    folders = [place, *place.absolute().parents[:2]]
    return next((folder / CLASS_FILE for folder in folders if (folder / CLASS_FILE).is_file()), None)


def classes_of(names: Sequence[str]) -> ClassSet:
    """The class set of `NAMED` with these names, or one with new colours. A repeated name gets its index."""
    for known in NAMED.values():
        if known.classes.names == tuple(names):
            return known.classes
    unique = [f"{name} ({index})" if names.index(name) < index else name for index, name in enumerate(names)]
    return ClassSet(tuple(unique), completed_colours([None] * len(names)))


def ids_of(classes: ClassSet) -> ClassFile:
    """Classes with the ids of their label files: raw ids, or else indices, and 255 for void."""
    ids = classes.raw_ids or range(len(classes))
    return ClassFile(classes, {raw: index for index, raw in enumerate(ids)} | {IGNORE: IGNORE})


def check_order(own: ClassSet, given: ClassSet, segmenter: str, classes: str) -> None:
    """Raises ConfigError if classes differ in number from a segmenter's own, or have its names in another order."""
    if len(own) != len(given):
        raise ConfigError(f"'{segmenter}' has {len(own)} classes, {classes} {len(given)}: leave out --classes")
    for index, name in enumerate(own.names):
        if name in given.names and given.names.index(name) != index:
            raise ConfigError(
                f"'{name}' is class {index} of '{segmenter}', but class {given.names.index(name)} of {classes}: name "
                "the classes in the order of the segmenter"
            )
