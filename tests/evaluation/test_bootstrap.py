from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segcode.evaluation.bootstrap import Counts, accuracy_gained, error_removed, paired


def counts(gain: float, noise: float, images: int = 60) -> Counts:
    draw = np.random.default_rng(0)
    before = draw.normal(80, 10, images)
    return Counts(before, before + draw.normal(gain, noise, images), np.full(images, 100.0))


def test_an_interval_of_the_mean_is_the_textbooks():
    found = accuracy_gained(counts(1.0, 2.0))
    gains = counts(1.0, 2.0).after - counts(1.0, 2.0).before
    half = 1.96 * gains.std(ddof=1) / math.sqrt(len(gains)) / 100
    assert found.value == pytest.approx(gains.mean() / 100)
    assert found.high - found.value == pytest.approx(half, rel=0.15)
    assert found.value - found.low == pytest.approx(half, rel=0.15)


def test_pairing_finds_what_the_spread_between_images_would_hide():
    assert accuracy_gained(counts(0.5, 0.5)).low > 0
    assert accuracy_gained(counts(0.0, 2.0)).low < 0 < accuracy_gained(counts(0.0, 2.0)).high


def test_error_removed_is_the_papers():
    road = Counts(np.array([919.0, 919.0]), np.array([924.0, 924.0]), np.array([1000.0, 1000.0]))
    assert tuple(error_removed(road)) == pytest.approx((0.0617, 0.0617, 0.0617), abs=1e-4)


def test_one_image_has_a_figure_and_no_interval():
    found = accuracy_gained(Counts(np.array([8.0]), np.array([9.0]), np.array([10.0])))
    assert found.value == pytest.approx(0.1)
    assert math.isnan(found.low)


def test_counts_come_from_confusion_matrices():
    a, b = torch.tensor([[3, 1], [0, 6]]), torch.tensor([[4, 0], [0, 6]])
    found = paired([a, b], [b, b])
    assert found.before.tolist() == [9, 10]
    assert found.after.tolist() == [10, 10]
    assert found.pixels.tolist() == [10, 10]
