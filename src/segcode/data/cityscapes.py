"""Cityscapes (Cordts et al. 2016) with the 19 classes of its benchmark."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from segcode.classes import CITYSCAPES
from segcode.data.files import by_name, natural_order
from segcode.data.labels import read_index_labels
from segcode.data.pairs import Pair, PairedFiles, require_pairs
from segcode.errors import ConfigError, nearest
from segcode.tensors import IGNORE

TRAIN_IDS: Final = {index: index for index in range(len(CITYSCAPES))} | {IGNORE: IGNORE}
_LABEL_IDS: Final = dict.fromkeys(range(34), IGNORE) | {raw: index for index, raw in enumerate(CITYSCAPES.raw_ids)}


def open_cityscapes(root: Path, split: str) -> PairedFiles:
    """`leftImg8bit/SPLIT/CITY/` with `gtFine/SPLIT/CITY/` as downloaded; samples are called "CITY_SEQUENCE_FRAME".

    Labels are read from `*_gtFine_labelIds.png`, which every download has. Only if the split has none of these
    does `*_gtFine_labelTrainIds.png` serve, which a script makes and can make with other classes. The split "test"
    has no labels: its files are dummies.

    Raises:
        ConfigError: if there is no such split.
        DataError: if the split has no images.
        UnpairedError: if two images have one name.
    """
    there = [name for name in ("train", "val", "test") if (root / "leftImg8bit" / name).is_dir()]
    if there and split not in there:
        raise ConfigError(f"{root} has no split '{split}': {nearest(split, there)}")
    folder = root / "leftImg8bit" / split
    annotations = root / "gtFine" / split
    kind, train_ids = _label_files(annotations)
    images, problems = by_name(
        natural_order(folder.glob("*/*_leftImg8bit.png")), lambda path: path.stem.removesuffix("_leftImg8bit")
    )
    pairs = tuple(
        Pair(name, image, None if split == "test" else annotations / image.parent.name / f"{name}_gtFine_{kind}.png")
        for name, image in images.items()
    )
    read = partial(read_index_labels, classes=CITYSCAPES, train_ids=train_ids)
    return require_pairs(PairedFiles(CITYSCAPES, pairs, read), list(problems.values()), folder)


def _label_files(annotations: Path) -> tuple[str, dict[int, int]]:
    """The ending of the label files, and the train id of every id that they may have."""
    has_label_ids = any(annotations.glob("*/*_gtFine_labelIds.png"))
    if not has_label_ids and any(annotations.glob("*/*_gtFine_labelTrainIds.png")):
        return "labelTrainIds", TRAIN_IDS
    return "labelIds", _LABEL_IDS
