"""Your own data: a folder of images, a folder of index labels, and a class file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from unicodedata import normalize

from pydantic import AfterValidator, Field

from segcode.classes import ClassSet
from segcode.config import parse, read_toml
from segcode.data.files import images_in
from segcode.data.labels import LabelFile, read_index_labels, require_size
from segcode.data.pairs import PairedFiles, pair_files, require_pairs
from segcode.errors import ConfigError, listed, nearest
from segcode.palette import completed_colours
from segcode.tensors import IGNORE

CLASS_FILE: Final = "classes.toml"

Byte = Annotated[int, Field(ge=0, le=255, strict=True)]


def _as_read(name: str) -> str:
    """A name that no other one looks like."""
    if name != normalize("NFC", name).strip() or not name.isprintable():
        raise ValueError("leave out blanks at its ends and control characters, and compose its accents (NFC)")
    return name


@dataclass(frozen=True)
class _Class:
    """A table of a class file."""

    name: Annotated[str, Field(min_length=1), AfterValidator(_as_read)]
    colour: tuple[Byte, Byte, Byte] | None = None
    id: Byte | None = None
    key: Annotated[str, Field(pattern=r"^[a-z]$")] | None = None
    of: tuple[str, ...] | None = None
    was: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Void:
    """The other key of a class file."""

    void: tuple[Byte, ...] = (IGNORE,)


class ClassFile(NamedTuple):
    """The classes of a class file, and the ids of its label files.

    Attributes:
        classes: in the order of the file.
        train_ids: the train id of each class's id in label files, and IGNORE for each void id.
        keys: the letter that chooses a class on the page, None where it has none.
        of: the classes of a model that a class is merged of, None where that is the one of its name.
        was: the former names of a class.
    """

    classes: ClassSet
    train_ids: dict[int, int]
    keys: tuple[str | None, ...] = ()
    of: tuple[tuple[str, ...] | None, ...] = ()
    was: tuple[tuple[str, ...], ...] = ()

    @property
    def void(self) -> list[int]:
        """The ids that count as unknown."""
        return [number for number, meaning in self.train_ids.items() if meaning == IGNORE]

    @property
    def tables(self) -> list[dict[str, Any]]:
        """The tables of the classes, by the keys of a class file; None where a key has no value."""
        ids = self.classes.raw_ids or range(len(self.classes))
        each = zip_longest(self.classes.names, self.classes.colours, ids, self.keys, self.of, self.was)
        return [dict(zip(("name", "colour", "id", "key", "of", "was"), one, strict=True)) for one in each]


def find_class_file(place: Path) -> Path | None:
    """The nearest `classes.toml`: in a folder, or in one of the two above it."""
    folders = [place, *place.absolute().parents[:2]]
    return next((folder / CLASS_FILE for folder in folders if (folder / CLASS_FILE).is_file()), None)


def read_partial_labels(path: Path, size: tuple[int, int], classes: ClassSet) -> LabelFile:
    """Labels of an image of (rows, columns) as class indices, IGNORE where unknown.

    The ids in the file are those of the nearest `classes.toml`, whose classes are known by their names; without one
    they are class indices. 255 is unknown unless it is the id of a class.

    Raises:
        ConfigError: if the class file is wrong.
        DataError: if the file cannot be read, or has other values.
        TruthError: if it has another size.
    """
    meanings = {index: index for index in range(len(classes))}
    if (found := find_class_file(path.parent)) is not None:
        given = read_class_file(found)
        names = given.classes.names
        indices = {index: classes.names.index(name) for index, name in enumerate(names) if name in classes.names}
        if not indices:
            ours, theirs = listed(classes.names), listed(names)
            raise ConfigError(f"{found} names the classes {theirs}, and the model has {ours}: give labels of these")
        indices[IGNORE] = IGNORE
        meanings = {raw: indices[index] for raw, index in given.train_ids.items() if index in indices}
    file = read_index_labels(path, classes, {IGNORE: IGNORE} | meanings)
    require_size(path, file.labels.shape, size)
    return file


def open_folder(root: Path, split: str) -> PairedFiles:
    """Pairs of `root/images/NAME.*` and `root/labels/NAME.png`, or with a folder a split, `root/images/train/NAME.*`.

    Images directly in `root/images` are the split "all". Other splits are the folders there that hold images and are
    not hidden; pictures that segcode made are no images. A split without a folder of labels has none.
    `root/classes.toml` names the classes: see `read_class_file`.

    Raises:
        ConfigError: if there is no such split, or the class file is wrong.
        DataError: if there are no images.
        UnpairedError: if several images or label files have one name, or labels have no image.
    """
    classes, train_ids, *_ = read_class_file(root / CLASS_FILE)
    part = _part_of(root / "images", split)
    images, labels = root / "images" / part, root / "labels" / part
    pairs, problems = pair_files(images_in(images), labels)
    if not labels.is_dir():
        pairs = [pair._replace(labels=None) for pair in pairs]
    read = partial(read_index_labels, classes=classes, train_ids=train_ids)
    return require_pairs(PairedFiles(classes, tuple(pairs), read), problems, images)


def class_file_text(tables: Iterable[Mapping[str, object]], void: Sequence[int]) -> str:
    """A class file, as `read_class_file` reads it, of the tables of its classes; values of None are left out."""
    lines = [f"void = {list(void)}\n"]
    for table in tables:
        lines.append("\n[[class]]\n")
        lines += [f"{key} = {json.dumps(x, ensure_ascii=False)}\n" for key, x in table.items() if x is not None]
    return "".join(lines)


def read_class_file(path: Path) -> ClassFile:
    """The classes of a folder in TOML, one table a class in the order of the train ids:

        void = [255]              # ids in label files that count as unknown; 255 unless given

        [[class]]
        name = "road"
        colour = [128, 64, 128]   # RGB; made where none is given
        id = 7                    # in label files; without ids the classes count from 0
        key = "r"                 # that chooses it on the page
        of = ["street", "path"]   # classes of the page's model, "*" for all that no class names
        was = ["lane"]            # former names, under which the page may have labels

    Raises:
        ConfigError: if the file is missing, is no TOML, has an unknown key or an impossible value.
    """
    if not path.exists():
        raise ConfigError(f"{path} is missing: give each class a [[class]] with its name")
    return parse_class_file(read_toml(path), str(path))


def parse_class_file(content: dict[str, Any], where: str) -> ClassFile:
    """The classes of the content of a class file. Raises ConfigError, with the place, as `read_class_file`."""
    tables = content.pop("class", [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise ConfigError(f"{where}: 'class' must be a list of tables: write [[class]] above each")
    void = parse(_Void, content, where).void
    parsed = [
        parse(_Class, table, f"{where}, class {table.get('name', number)}") for number, table in enumerate(tables)
    ]
    try:
        ids = tuple(table.id for table in parsed if table.id is not None)
        colours = completed_colours([table.colour for table in parsed])
        classes = ClassSet(tuple(table.name for table in parsed), colours, ids)
        keys, of = tuple(table.key for table in parsed), tuple(table.of for table in parsed)
        if repeated := [key for key in keys if key and keys.count(key) > 1]:
            raise ConfigError(f"key '{repeated[0]}' is that of several classes: give each its own")
        return ClassFile(classes, _train_ids(classes, void), keys, of, tuple(table.was for table in parsed))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _part_of(images: Path, split: str) -> str:
    folders = sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []
    parts = {path.name: path.name for path in folders if path.name[0] != "." and images_in(path)}
    if not parts or images_in(images):
        parts = {"all": "", **parts}
    if split not in parts:
        raise ConfigError(f"{images} has no split '{split}': {nearest(split, parts)}")
    return parts[split]


def _train_ids(classes: ClassSet, void: tuple[int, ...]) -> dict[int, int]:
    ids = classes.raw_ids or tuple(range(len(classes)))
    if repeated := sorted({i for i in ids + void if (ids + void).count(i) > 1}):
        raise ConfigError(f"id {repeated[0]} has several meanings: give each class and void ids of their own")
    return dict.fromkeys(void, IGNORE) | {raw: index for index, raw in enumerate(ids)}
