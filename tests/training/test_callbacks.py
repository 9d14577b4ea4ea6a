from __future__ import annotations

from segcode.training.callbacks import collapse, epoch_line


def metrics(initial: float, encoded: float) -> dict[str, float]:
    scores = {"val/initial_accuracy": initial, "val/encoded_accuracy": encoded, "val/initial_mean_iou": 0.5}
    return scores | {"train/total": 1.0, "val/kl": 3.0}


def test_an_epoch_is_reported_in_a_line():
    line = epoch_line(metrics(0.8, 0.9), epoch=10, epochs=20)
    assert "epoch  10 of 20" in line
    assert "initial 80.00 %" in line
    assert "encoder's code 90.00 %" in line


def test_a_collapsed_code_is_warned_of_with_its_cure():
    warning = collapse(metrics(0.8, 0.8), epoch=10, epochs=20)
    assert warning is not None
    assert "kl_weight" in warning


def test_a_living_code_and_an_early_epoch_are_not():
    assert collapse(metrics(0.8, 0.9), epoch=10, epochs=20) is None
    assert collapse(metrics(0.8, 0.8), epoch=6, epochs=20) is None
