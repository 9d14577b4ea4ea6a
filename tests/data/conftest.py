"""Data sets of a few tiny images, made in each layout."""

from pathlib import Path

import numpy as np
import pytest
from pictures import ids, noise, save

from segcode.classes import CITYSCAPES
from segcode.data.camvid import ORIGINAL_COLOURS


@pytest.fixture
def segnet_root(tmp_path: Path) -> Path:
    for split, names in {"train": ["0001TP_2", "0001TP_10"], "val": ["0016E5_1"]}.items():
        for seed, name in enumerate(names):
            save(tmp_path / split / f"{name}.png", noise(seed))
            save(tmp_path / f"{split}annot" / f"{name}.png", ids(seed, list(range(12))))
    return tmp_path


@pytest.fixture
def original_root(tmp_path: Path) -> Path:
    palette = np.array(list(ORIGINAL_COLOURS.values()), np.uint8)
    for seed, name in enumerate(["0001TP_1", "0006R0_2", "Seq05VD_f3"]):
        save(tmp_path / "701_StillsRaw_full" / f"{name}.png", noise(seed))
        save(tmp_path / "LabeledApproved_full" / f"{name}_L.png", palette[ids(seed, list(range(32)))])
    return tmp_path


@pytest.fixture
def cityscapes_root(tmp_path: Path) -> Path:
    for split, city in {"train": "aachen", "val": "ulm", "test": "bonn"}.items():
        for seed in range(2):
            name = f"{city}_00000{seed}_000019"
            save(tmp_path / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", noise(seed))
            labels = ids(seed, list(range(34)))
            save(tmp_path / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", labels)
            train_ids = CITYSCAPES.from_raw(labels)
            save(tmp_path / "gtFine" / split / city / f"{name}_gtFine_labelTrainIds.png", train_ids)
    return tmp_path


CLASSES = """
void = [0, 255]

[[class]]
name = "road"
colour = [128, 64, 128]
id = 7

[[class]]
name = "car"
colour = [0, 0, 142]
id = 26
"""


@pytest.fixture
def folder_root(tmp_path: Path) -> Path:
    (tmp_path / "classes.toml").write_text(CLASSES)
    for seed, name in enumerate(["a", "b"]):
        save(tmp_path / "images" / f"{name}.jpg", noise(seed))
        save(tmp_path / "labels" / f"{name}.png", ids(seed, [0, 7, 26, 255]))
    return tmp_path
