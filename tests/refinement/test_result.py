from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segcode.refinement import result
from segcode.refinement.layers import Layers
from segcode.refinement.result import SegmentationMap, Status
from segcode.truth.mask import label_truth

LABELS = np.full((4, 4), 255, np.uint8)
LABELS[0, 0] = 2
TRUTH = label_truth(LABELS, 3)


def map_of(logits: np.ndarray, b: np.ndarray | None) -> SegmentationMap:
    return SegmentationMap(Layers(logits), TRUTH, Status(1, 1, True), None, b)


def test_the_chance_of_a_flip_is_that_of_the_noise_of_equation_3():
    draw = np.random.default_rng(0)
    logits, b = draw.standard_normal((3, 4, 4)), draw.random((4, 4)) + 0.1
    logits[2] -= 100  # two classes, so that the noise chooses between these
    noisy = logits[:2] + b * draw.standard_normal((20_000, 2, 4, 4))
    flipped = (noisy.argmax(1) != logits[:2].argmax(0)).mean(0)
    flipped[0, 0] = 0  # labelled
    assert map_of(logits, b).flip_probability() == pytest.approx(flipped, abs=0.02)


def test_without_b_there_is_no_chance_of_a_flip():
    found = map_of(np.zeros((3, 4, 4)), None)
    assert found.flip_probability() is None
    assert found.relative_noise() is None


def test_the_relative_noise_is_that_of_the_difference_of_the_two_highest_logits():
    logits = np.array([1.0, 4.0, 2.0])[:, None, None] + np.zeros((4, 4))
    relative = map_of(logits, np.full((4, 4), 0.5)).relative_noise()
    assert relative[0, 0] == 0  # labelled
    assert relative.ravel()[1:] == pytest.approx(np.sqrt(2) * 0.5 / 2)


def test_an_excluded_class_is_no_class_to_flip_to():
    logits = np.array([5.0, 4.9, -5.0])[:, None, None] + np.zeros((4, 4))
    nowhere = replace(TRUTH, exhaustive=np.array([True, False, False]))
    flips = SegmentationMap(Layers(logits), nowhere, Status(1, 1, True), None, np.ones((4, 4))).flip_probability()
    assert flips.max() < 1e-6


@pytest.mark.parametrize("size", [(4, 4), (37, 23), (9, 50), (3, 2)])
@pytest.mark.parametrize("band", [1, 100, 10**6])
def test_the_entropy_in_bands_of_rows_is_that_of_the_probabilities(monkeypatch, size, band):
    monkeypatch.setattr(result, "_BAND", band)
    labels = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), size, p=[0.05, 0.05, 0.05, 0.85])
    truth = replace(label_truth(labels, 3), exhaustive=np.array([False, True, False]))
    found = SegmentationMap(Layers(np.random.default_rng(1).standard_normal((3, 7, 9))), truth, Status(1, 1, True))
    assert found.entropy() == pytest.approx(result.entropy(found.probabilities()), abs=1e-5)
