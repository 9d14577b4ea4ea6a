"""Your own data: a folder of images, a folder of index labels, and a class file."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from segcode.classes import ClassSet, Colour
from segcode.data.files import images_in, read_index_labels
from segcode.data.pairs import Pair, PairedFiles, require_images, require_pairs
from segcode.errors import ConfigError, nearest
from segcode.tensors import IGNORE

CLASS_FILE: Final = "classes.toml"


class ClassFile(NamedTuple):
    """What a class file says.

    Attributes:
        classes: in the order of the file.
        train_ids: the train id of each class's id in label files, and IGNORE for each void id.
    """

    classes: ClassSet
    train_ids: dict[int, int]


def open_folder(root: Path, split: str) -> PairedFiles:
    """Pairs of `root/images/NAME.*` and `root/labels/NAME.png`, or with a folder a split, `root/images/train/NAME.*`.

    Without folders for splits the only split is "all". A split without a folder of labels has none.
    `root/classes.toml` names the classes: see `read_class_file`.

    Raises:
        ConfigError: if there is no such split, or the class file is wrong.
        DataError: if there are no images, two of one name, or labels without an image.
    """
    classes, train_ids = read_class_file(root / CLASS_FILE)
    part = _part_of(root / "images", split)
    images, labels = root / "images" / part, root / "labels" / part
    labelled = labels.is_dir()
    pairs = [Pair(path.stem, path, labels / f"{path.stem}.png" if labelled else None) for path in images_in(images)]
    require_images(images_in(labels), pairs)
    return PairedFiles(classes, require_pairs(pairs, images), partial(read_index_labels, train_ids=train_ids))


def read_class_file(path: Path) -> ClassFile:
    """The classes of a folder in TOML, one table a class in the order of the train ids:

        void = [255]              # ids in label files that count as unknown; 255 unless given

        [[class]]
        name = "road"
        colour = [128, 64, 128]   # RGB
        id = 7                    # in label files; without ids the classes count from 0

    Raises:
        ConfigError: if the file is missing, is no TOML, has an unknown key or an impossible value.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return _parse(content)
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing: give each class a [[class]] with name and colour") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _part_of(images: Path, split: str) -> str:
    splits = sorted(path.name for path in images.iterdir() if path.is_dir()) if images.is_dir() else []
    if split not in (splits or ["all"]):
        raise ConfigError(f"{images} has no split '{split}': {nearest(split, splits or ['all'])}")
    return split if splits else ""


def _parse(content: Mapping[str, Any]) -> ClassFile:
    _require_keys(content, ("void", "class"))
    tables = content.get("class", [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise ConfigError("'class' must be a list of tables: write [[class]] above each")
    for table in tables:
        _require_keys(table, ("name", "colour", "id"))
    classes = ClassSet(
        tuple(_name(table) for table in tables),
        tuple(_colour(table) for table in tables),
        tuple(_id(table["id"]) for table in tables if "id" in table),
    )
    return ClassFile(classes, _train_ids(classes, _void(content)))


def _train_ids(classes: ClassSet, void: list[int]) -> dict[int, int]:
    ids = list(classes.raw_ids or range(len(classes)))
    if repeated := sorted({i for i in ids + void if (ids + void).count(i) > 1}):
        raise ConfigError(f"id {repeated[0]} has several meanings: give each class and void ids of their own")
    return dict.fromkeys(void, IGNORE) | {raw: index for index, raw in enumerate(ids)}


def _require_keys(table: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise ConfigError(f"unknown key '{unknown[0]}': {nearest(unknown[0], known)}")


def _name(table: Mapping[str, Any]) -> str:
    match table.get("name"):
        case str(name) if name:
            return name
        case other:
            raise ConfigError(f'a class is called {other!r}: give each [[class]] a name = "..."')


def _colour(table: Mapping[str, Any]) -> Colour:
    match table.get("colour"):
        case [int(red), int(green), int(blue)] if all(0 <= channel <= 255 for channel in (red, green, blue)):
            return red, green, blue
        case other:
            raise ConfigError(f"class '{table['name']}' has the colour {other!r}: give [red, green, blue] in 0..255")


def _void(content: Mapping[str, Any]) -> list[int]:
    match content.get("void", [IGNORE]):
        case list(values):
            return [_id(value) for value in values]
        case other:
            raise ConfigError(f"'void' is {other!r}: give a list of ids")


def _id(value: Any) -> int:
    match value:
        case int(number) if 0 <= number <= 255:
            return number
        case other:
            raise ConfigError(f"{other!r} is no id of a label file: ids are whole numbers in 0..255")
