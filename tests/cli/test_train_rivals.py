from importlib import import_module

import numpy as np
import pytest
from command_line import FOUR, make_model_folder, segcode

from segcode.cli.train_rivals import collapse, epoch_line
from segcode.evaluation.baselines.head_training import EpochLosses
from segcode.sample import Sample
from tiny import TINY

DEAD, ALIVE = EpochLosses(0.5, 0.6, 0.02), EpochLosses(0.5, 0.6, 3.0)


class Squares:
    """Images of noise, each of one class."""

    classes = FOUR
    names = ("0001TP_1", "0001TP_2", "0006R0_1")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        image = np.random.default_rng(index).integers(0, 256, (*TINY.size, 3), np.uint8)
        return Sample(self.names[index], image, np.full(TINY.size, index, np.uint8))


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setattr("segcode.data.sources.open_source", lambda *_: Squares())
    model = make_model_folder(tmp_path / "model")
    return "train-rivals", model, "--data", "folder", "--epochs", 2, "--device", "cpu", "-o", tmp_path / "rivals"


def test_each_epoch_has_its_line_where_nobody_watches(command):
    ran = segcode(*command, "--leave-out", "0001TP")
    assert ran.code == 0, ran.err
    lines = [line for line in ran.err.splitlines() if line.startswith("epoch ")]
    assert [line[:14] for line in lines] == ["epoch   1 of 2", "epoch   2 of 2"]
    assert "1 images, 2 epochs" in ran.out
    assert " nats an image" in ran.out


def test_under_a_bar_there_are_no_lines(command, monkeypatch):
    monkeypatch.setattr(import_module("segcode.cli.train_rivals"), "somebody_watches", lambda: True)
    assert "epoch " not in segcode(*command).err


def test_an_epoch_is_reported_in_a_line():
    line = epoch_line(ALIVE, epoch=3, epochs=20)
    assert line == "epoch   3 of 20   loss: SSN 0.5000   probabilistic U-Net 0.6000   KL 3.00"


def test_a_latent_that_is_hardly_used_is_warned_of_with_its_cure(command, monkeypatch):
    warning = collapse(DEAD)
    assert warning is not None
    assert "lower --beta" in warning
    assert collapse(ALIVE) is None
    assert "lower --beta" in segcode(*command, "--beta", 1e9).err
