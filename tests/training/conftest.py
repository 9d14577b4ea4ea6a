"""A small data set, an experiment that trains on it in a second, and its result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from segcode.training.experiment import read_experiment
from segcode.training.run import train

TOML = """
epochs = 4
batch = 2
[data]
kind = "folder"
root = "{root}"
[model]
purpose = "blocks, dark or light"
size = [32, 48]
width = 4
code_size = 6
code_channels = 4
[loss]
zero_code = 1.0
[optimiser]
learning_rate = 1e-2
schedule = "cosine"
averaging = 0.5
"""

CLASSES = """
[[class]]
name = "dark"
colour = [0, 0, 0]
[[class]]
name = "light"
colour = [255, 255, 255]
"""


@pytest.fixture(scope="session")
def experiment_file(tmp_path_factory) -> Path:
    """Images of two bright and dark blocks, whose brightness is their class."""
    root = tmp_path_factory.mktemp("data")
    (root / "classes.toml").write_text(CLASSES)
    for split, count in (("train", 8), ("val", 2)):
        for name in ("images", "labels"):
            (root / name / split).mkdir(parents=True)
        for i in range(count):
            draw = np.random.default_rng(i)
            labels = draw.integers(0, 2, (4, 6)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
            image = (labels[..., None] * 120 + draw.integers(0, 120, (32, 48, 3))).astype(np.uint8)
            Pillow.fromarray(image).save(root / "images" / split / f"{i}.png")
            Pillow.fromarray(labels).save(root / "labels" / split / f"{i}.png")
    path = root / "experiment.toml"
    path.write_text(TOML.format(root=root))
    return path


@pytest.fixture(scope="session")
def finished(experiment_file, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    train(read_experiment(experiment_file), out, progress=False)
    return out
