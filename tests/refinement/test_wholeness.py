"""Class 1 is where the first prediction is sure of it, on a grid of 60 x 80 for an image of twice that."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcode.refinement.wholeness import told_as_whole
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth

GRID, IMAGE = (60, 80), (120, 160)


def block(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """In cells, at the image's size."""
    mask = np.zeros(IMAGE, bool)
    mask[2 * top : 2 * bottom, 2 * left : 2 * right] = True
    return mask


ROAD = block(20, 50, 10, 60)


def sure_of(*masks: np.ndarray) -> torch.Tensor:
    logits = torch.zeros(3, *GRID)
    for mask in masks:
        logits[1][torch.from_numpy(mask[::2, ::2])] = 8.0
    return logits


def whole(truth: Truth, zero: torch.Tensor) -> list[bool]:
    return told_as_whole(truth, truth.resized(GRID), zero).tolist()


def test_a_region_that_ends_where_the_prediction_does_is_told_as_a_whole():
    assert whole(mask_truth(ROAD, 1, 3), sure_of(ROAD)) == [False, True, False]


def test_half_a_region_is_not():
    for part in (block(20, 50, 10, 35), block(20, 35, 10, 60), block(20, 48, 10, 60) & ~block(30, 40, 30, 40)):
        assert not any(whole(mask_truth(part & ROAD, 1, 3), sure_of(ROAD)))


def test_a_region_is_whole_where_the_prediction_is_not_sure_of_more():
    """As of a bus that was called a car: nothing says that there is more of it."""
    assert whole(mask_truth(ROAD, 1, 3), sure_of()) == [False, True, False]


@pytest.mark.parametrize(("rows", "expected"), [(2, True), (24, False)])
def test_the_prediction_may_be_wrong_elsewhere_but_not_in_much(rows, expected):
    assert whole(mask_truth(ROAD, 1, 3), sure_of(ROAD, block(0, rows, 65, 80)))[1] == expected


@pytest.mark.parametrize(("columns", "expected"), [(1, True), (40, False)])
def test_the_prediction_may_be_wrong_along_a_little_of_the_edge(columns, expected):
    assert whole(mask_truth(ROAD, 1, 3), sure_of(ROAD, block(50, 56, 10, 10 + columns)))[1] == expected


def test_what_is_told_to_be_otherwise_is_no_objection():
    """Half of what is called road is told to be road, the rest not to be road."""
    half = block(20, 50, 10, 35)
    rest = mask_truth(ROAD & ~half, 2, 3)
    not_road = Truth(IMAGE, rest.pixels, torch.tensor([[True, False, True]]).expand(len(rest.pixels), -1), rest.weight)
    assert whole(mask_truth(half, 1, 3) + not_road, sure_of(ROAD))[1]


@pytest.mark.parametrize("size", [IMAGE, GRID], ids=["finer than the grid", "as fine"])
def test_points_and_strokes_are_no_regions(size):
    points = np.random.default_rng(0).random(size) < 0.2
    stroke = np.zeros(size, bool)
    stroke[size[0] // 2 : size[0] // 2 + 2, 10:60] = True
    for mask in (points, stroke):
        assert not any(whole(mask_truth(mask, 1, 3), sure_of()))


def test_of_an_empty_truth_nothing_is_whole():
    assert not any(whole(Truth.empty(IMAGE, 3), sure_of(ROAD)))


def test_of_several_classes_none_is():
    """Between them may be a border that nobody labelled."""
    sky = block(0, 19, 0, 80)
    assert not any(whole(mask_truth(ROAD, 1, 3) + mask_truth(sky, 0, 3), sure_of(ROAD)))


def test_an_image_may_be_coarser_than_the_grid():
    small = ROAD[::4, ::4]
    assert whole(mask_truth(small, 1, 3), sure_of(ROAD)) == [False, True, False]


def test_a_class_may_be_everywhere():
    assert whole(mask_truth(np.ones(IMAGE, bool), 1, 3), sure_of(ROAD)) == [False, True, False]


def test_an_unsure_truth_tells_nothing():
    unsure = mask_truth(ROAD, 1, 3)
    unsure = Truth(unsure.size, unsure.pixels, unsure.allowed, 0.4 * unsure.weight)
    assert not any(whole(unsure, sure_of(ROAD)))
