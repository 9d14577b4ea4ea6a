from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcode.field.grid import Grid
from segcode.refinement.observations import observe, region_of_cells, settled_cells
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth

SIZE = (8, 12)
GRID = Grid(2, 3)
"""Cells of 4 x 4 pixels."""


def mask(rows: slice, columns: slice) -> np.ndarray:
    inside = np.zeros(SIZE, bool)
    inside[rows, columns] = True
    return inside


def test_a_cell_counts_once_however_many_of_its_pixels_are_labelled():
    truth = mask_truth(mask(slice(0, 4), slice(0, 5)), 1, 3)
    seen = observe(truth, GRID, 5.0)
    assert seen.cells.tolist() == [0, 1]
    assert seen.weight.tolist() == [5.0, 5.0]
    assert seen.allowed.argmax(1).tolist() == [1, 1]


def test_a_cell_weighs_as_much_as_its_surest_pixel():
    probability = np.zeros(SIZE)
    probability[0, :3] = 0.2, 0.6, 0.4
    assert observe(mask_truth(probability, 1, 3), GRID, 5.0).weight == pytest.approx([3.0])


def test_two_classes_of_a_cell_share_its_weight_by_their_pixels():
    truth = mask_truth(mask(slice(0, 3), slice(0, 1)), 0, 3) + mask_truth(mask(slice(0, 1), slice(1, 2)), 2, 3)
    seen = observe(truth, GRID, 4.0)
    assert seen.cells.tolist() == [0]
    assert dict(zip(seen.allowed.argmax(1).tolist(), seen.weight, strict=True)) == pytest.approx({0: 3.0, 2: 1.0})
    assert seen.total == pytest.approx([4.0])


def test_not_this_class_is_a_set_of_its_own():
    allowed = np.array([[True, True, False], [False, True, False]])
    truth = Truth(SIZE, np.array([[0, 0], [7, 11]]), allowed, np.ones(2), np.zeros(3, bool))
    seen = observe(truth, GRID, 1.0)
    assert seen.cells.tolist() == [0, 5]
    assert np.array_equal(seen.allowed[np.argsort(seen.place)], allowed)


def test_the_order_of_the_pixels_does_not_matter():
    draw = np.random.default_rng(0)
    pixels = np.stack([draw.integers(0, side, 60) for side in SIZE], 1)
    allowed = draw.random((60, 9)) < 0.5
    allowed[:, 0] |= ~allowed.any(1)
    weight = draw.uniform(0.1, 1, 60)
    order = draw.permutation(60)
    one, other = (
        observe(Truth(SIZE, pixels[o], allowed[o], weight[o], np.zeros(9, bool)), GRID, 2.0)
        for o in (slice(None), order)
    )
    assert np.array_equal(one.cells, other.cells)
    assert np.array_equal(one.allowed, other.allowed)
    assert one.weight == pytest.approx(other.weight)
    assert one.total.max() <= 2.0


def test_entries_without_weight_say_nothing():
    truth = Truth(SIZE, np.array([[0, 0]]), np.array([[True, False]]), np.zeros(1), np.zeros(2, bool))
    assert len(observe(truth, GRID, 5.0)) == 0


def test_an_empty_truth_labels_no_cell():
    seen = observe(Truth.empty(SIZE, 3), GRID, 5.0)
    assert len(seen) == 0
    assert seen.allowed.shape == (0, 3)


def test_an_outline_is_a_region_of_the_cells_whose_centre_it_covers():
    truth = mask_truth(mask(slice(0, 3), slice(0, 7)), 1, 3, "outline")
    assert region_of_cells(truth, GRID).tolist() == [1, 1, 0, 0, 0, 0]
    assert region_of_cells(mask_truth(mask(slice(0, 3), slice(0, 7)), 1, 3), GRID) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 30), st.integers(3, 30), st.integers(0, 1000))
def test_settled_cells_have_labels_alone_around_them(rows, columns, seed):
    size, draw = (rows, columns), np.random.default_rng(seed)
    known = np.ones(size, bool)
    known[draw.integers(rows, size=3), draw.integers(columns, size=3)] = False
    grid = Grid(max(1, rows // 3), max(1, columns // 3))
    row, column = np.indices(size)
    cell = grid.cells_of(np.stack([row.ravel(), column.ravel()], 1), size)
    full = np.bincount(cell, known.ravel(), len(grid)) == np.bincount(cell, minlength=len(grid))
    around = np.pad(full.reshape(grid.shape), 1, constant_values=True)
    expected = [around[r : r + 3, c : c + 3].all() for r in range(grid.rows) for c in range(grid.columns)]
    assert settled_cells(mask_truth(known, 0, 2), grid).tolist() == expected


def test_what_is_not_of_a_class_settles_nothing():
    row, column = np.indices(SIZE)
    pixels = np.stack([row.ravel(), column.ravel()], 1)
    allowed = np.tile([True, False, True], (len(pixels), 1))
    truth = Truth(SIZE, pixels, allowed, np.ones(len(pixels)), np.zeros(3, bool))
    assert not settled_cells(truth, GRID).any()
