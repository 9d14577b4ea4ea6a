from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from segcode.training.callbacks import EpochReport


def finish_epoch(zero: float, encoded: float, epoch: int = 9) -> str:
    console = Console(record=True, width=200)
    names = {"val/zero_accuracy": zero, "val/encoded_accuracy": encoded, "train/total": 1.0, "val/kl": 3.0}
    metrics = {name: torch.tensor(value) for name, value in (names | {"val/zero_mean_iou": 0.5}).items()}
    trainer = SimpleNamespace(callback_metrics=metrics, current_epoch=epoch, max_epochs=10)
    EpochReport(console).on_train_epoch_end(trainer, None)
    return console.export_text()


def test_an_epoch_is_reported_in_a_line():
    line = finish_epoch(0.8, 0.9)
    assert "epoch  10 of 10" in line
    assert "zero code 80.00 %" in line
    assert "encoder's code 90.00 %" in line


def test_a_collapsed_code_is_warned_of():
    with pytest.warns(UserWarning, match="the code says nothing"):
        finish_epoch(0.8, 0.8)


def test_an_early_epoch_is_given_time(recwarn):
    finish_epoch(0.8, 0.8, epoch=0)
    assert not [w for w in recwarn if "the code says nothing" in str(w.message)]
