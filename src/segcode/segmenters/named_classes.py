"""The classes of other segmenters than segcode's: from a file, of a data set, or from names alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from unicodedata import normalize

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
    """Raises ConfigError if classes differ in number from a segmenter's own, or have its names in another order.

    Capitals, blanks and marks in names do not count.
    """
    if len(own) != len(given):
        raise ConfigError(f"'{segmenter}' has {len(own)} classes, {classes} {len(given)}: leave out --classes")
    for written in (str, _plain):
        names = [written(name) for name in given.names]
        for index, name in enumerate(map(written, own.names)):
            if name in names and names[index] != name:
                raise ConfigError(
                    f"'{own.names[index]}' is class {index} of '{segmenter}', but class {names.index(name)} of "
                    f"{classes}: name the classes in the order of the segmenter"
                )


def _plain(name: str) -> str:
    """A name without capitals, blanks and the like: "Traffic_Light" is "traffic light", written in another way."""
    return "".join(filter(str.isalnum, normalize("NFKC", name).casefold())) or name
