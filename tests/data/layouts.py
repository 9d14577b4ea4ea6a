"""Data sets of a few tiny images, made in each layout."""

from pathlib import Path

import numpy as np
from pictures import ids, noise, save, to_train_ids

from segcode.classes import CITYSCAPES
from segcode.data.camvid import ORIGINAL


def make_segnet(root: Path) -> Path:
    for split, names in {"train": ["0001TP_2", "0001TP_10"], "val": ["0016E5_1"]}.items():
        for seed, name in enumerate(names):
            save(root / split / f"{name}.png", noise(seed))
            save(root / f"{split}annot" / f"{name}.png", ids(seed, list(range(12))))
    return root


def make_original(root: Path) -> Path:
    palette = np.array([colour for colour, _ in ORIGINAL.values()], np.uint8)
    for seed, name in enumerate(["0001TP_1", "0006R0_2", "Seq05VD_f3"]):
        save(root / "701_StillsRaw_full" / f"{name}.png", noise(seed))
        save(root / "LabeledApproved_full" / f"{name}_L.png", palette[ids(seed, list(range(32)))])
    return root


def make_cityscapes(root: Path) -> Path:
    for split, city in {"train": "aachen", "val": "ulm", "test": "bonn"}.items():
        for seed in range(2):
            name = f"{city}_00000{seed}_000019"
            save(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", noise(seed))
            labels = ids(seed, list(range(34)))
            save(root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", labels)
            train_ids = to_train_ids(CITYSCAPES, labels)
            save(root / "gtFine" / split / city / f"{name}_gtFine_labelTrainIds.png", train_ids)
    return root


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


def make_folder(root: Path) -> Path:
    (root / "classes.toml").write_text(CLASSES)
    for seed, name in enumerate(["a", "b"]):
        save(root / "images" / f"{name}.jpg", noise(seed))
        save(root / "labels" / f"{name}.png", ids(seed, [0, 7, 26, 255]))
    return root
