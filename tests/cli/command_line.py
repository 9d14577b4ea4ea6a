"""The command line run inside the test's own process, and what it works on."""

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image as Pillow

from segcode.classes import ClassSet
from segcode.cli import main
from segcode.model.checkpoint import LoadedModel, save_model
from tiny import TINY, make_model

FOUR = ClassSet(("road", "sidewalk", "car", "sky"), ((128, 64, 128), (0, 0, 192), (64, 0, 128), (128, 128, 128)))
HEIGHT, WIDTH = 40, 60


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def segcode(*arguments: object) -> Ran:
    """Run a command as the shell would; a traceback, which only a bug may give, fails the test."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return Ran(stop.value.code or 0, out.getvalue(), err.getvalue())


def make_model_folder(folder: Path, classes: ClassSet = FOUR) -> Path:
    save_model(folder, LoadedModel(make_model(replace(TINY, classes=len(classes))), classes), "untrained")
    return folder


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)
    return path


def read(path: Path) -> np.ndarray:
    return np.asarray(Pillow.open(path))


def street(path: Path, seed: int = 0) -> Path:
    return save(path, np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def mask(path: Path, value: int = 255) -> Path:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[20:30, 10:40] = value
    return save(path, pixels)


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
