"""Exported files, scored by the official tool, against our own metrics."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from segcode.classes import CITYSCAPES
from segcode.data.cityscapes import open_cityscapes
from segcode.export.picture import write_picture
from segcode.metrics import confusion_matrix, iou

SIZE = (24, 40)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images of a validation split whose labels have every id that files may have, void ones too."""
    draw = np.random.default_rng(0)
    for i in range(2):
        name = f"val/ulm/ulm_00000{i}_000019"
        save(tmp_path / "leftImg8bit" / f"{name}_leftImg8bit.png", np.zeros((*SIZE, 3), np.uint8))
        save(tmp_path / "gtFine" / f"{name}_gtFine_labelIds.png", draw.integers(0, 34, SIZE).astype(np.uint8))
    return tmp_path


@pytest.fixture
def official(root, monkeypatch):
    """The tool's module; it finds its files by the environment when it is imported."""
    monkeypatch.setenv("CITYSCAPES_DATASET", str(root))
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(root / "results"))
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # gone from NumPy 2.4, and the tool still calls it
    tool = importlib.reload(importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"))
    monkeypatch.setattr(tool.args, "evalInstLevelScore", False)
    monkeypatch.setattr(tool.args, "quiet", True)
    monkeypatch.setattr(tool.args, "JSONOutput", False)
    return tool


def test_the_official_tool_finds_our_files_and_agrees_with_our_iou(root, official):
    source = open_cityscapes(root, "val")
    draw = np.random.default_rng(1)
    matrix = torch.zeros(19, 19, dtype=torch.long)
    for i in range(len(source)):
        labels = source[i].labels
        assert labels is not None
        guess = np.where(draw.random(SIZE) < 0.5, labels % 19, draw.integers(0, 19, SIZE)).astype(np.uint8)
        write_picture(root / "results" / f"{source.names[i]}.png", CITYSCAPES.to_raw(guess))
        matrix += confusion_matrix(torch.from_numpy(guess), torch.from_numpy(labels), 19)

    truths = sorted(map(str, root.glob("gtFine/val/*/*_gtFine_labelIds.png")))
    predictions = [official.getPrediction(official.args, path) for path in truths]
    scores = official.evaluateImgLists(predictions, truths, official.args)["classScores"]
    assert [scores[name] for name in CITYSCAPES.names] == pytest.approx(iou(matrix).tolist(), abs=1e-6)
