from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcode.errors import TruthError
from segcode.tensors import IGNORE
from segcode.truth.mask import label_truth, mask_truth


def some_mask() -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[3:8, 4:9] = True
    return mask


@pytest.mark.parametrize("extent", ["part", "outline", "exhaustive"])
def test_a_mask_labels_its_pixels_and_no_others(extent):
    truth = mask_truth(some_mask(), 1, 3, extent)
    assert np.array_equal(truth.labels, np.where(some_mask(), 1, -1))
    assert (truth.weight == 1).all()


def test_extents_differ_in_what_they_say_of_other_pixels():
    part, outline, exhaustive = (mask_truth(some_mask(), 1, 3, extent) for extent in ("part", "outline", "exhaustive"))
    assert part.regions is None
    assert np.array_equal(outline.regions > 0, some_mask())
    assert np.array_equal(exhaustive.regions > 0, some_mask())
    assert not part.exhaustive.any()
    assert not outline.exhaustive.any()
    assert exhaustive.exhaustive.tolist() == [False, True, False]


def test_an_empty_exhaustive_mask_says_that_the_class_is_nowhere():
    truth = mask_truth(np.zeros((4, 5), bool), 1, 3, "exhaustive")
    assert len(truth) == 0
    assert truth.excluded()[1].all()


def test_a_soft_mask_weighs_by_its_probability():
    truth = mask_truth(np.array([[0.0, 0.3, 0.8]], np.float32), 0, 3)
    assert truth.pixels.tolist() == [[0, 1], [0, 2]]
    assert truth.weight.tolist() == pytest.approx([0.3, 0.8])
    assert truth.labels.tolist() == [[-1, -1, 0]]


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 1), st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_a_soft_exhaustive_mask_is_a_binary_cross_entropy_with_a_soft_target(probability, logits):
    truth = mask_truth(np.full((1, 1), probability), 1, 3, "exhaustive")
    likely = np.exp(logits) / np.exp(logits).sum()
    loss = -(truth.weight * np.log((truth.allowed * likely).sum(1))).sum()
    expected = -probability * np.log(likely[1]) - (1 - probability) * np.log(likely[0] + likely[2])
    assert loss == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_a_label_image_is_read_back(seed):
    draw = np.random.default_rng(seed)
    labels = np.where(draw.random((6, 8)) < 0.5, draw.integers(0, 3, (6, 8)), IGNORE).astype(np.uint8)
    truth = label_truth(labels, 3)
    assert np.array_equal(truth.labels, np.where(labels == IGNORE, -1, labels.astype(int)))
    assert len(truth) == (labels != IGNORE).sum()
    assert truth.regions is None
    assert not truth.exhaustive.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mask_truth(np.full((2, 2), 7.0), 0, 3), "holds 7"),
        (lambda: mask_truth(np.array([[0.0, -1.0]]), 0, 3), "holds -1"),
        (lambda: mask_truth(np.array([[0.0, np.nan]]), 0, 3), "holds nan"),
        (lambda: mask_truth(np.zeros((2, 2), bool), 3, 3), "class 3 is not one of the model's 3"),
        (lambda: mask_truth(np.zeros((2, 2), bool), -1, 3), "class -1"),
        (lambda: label_truth(np.array([[9]], np.uint8), 3), "class 9"),
    ],
)
def test_a_mask_that_does_not_fit_is_an_error_that_names_the_value(make, message):
    with pytest.raises(TruthError, match=message):
        make()
