from __future__ import annotations

import numpy as np
import pytest

from segcode.field.grid import MAX_CELLS, STRIDE, Grid


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (360, 480), (4000, 6000), (1, 5000), (7000, 2)])
def test_a_grid_has_cells_of_the_stride_or_larger_square_ones(size):
    grid = Grid.over(size)
    assert 1 <= len(grid) <= 1.05 * MAX_CELLS
    if min(size) > 100:
        assert size[0] / grid.rows == pytest.approx(size[1] / grid.columns, rel=0.02)
        assert size[0] / grid.rows > 0.99 * STRIDE


def test_each_pixel_lies_in_the_cell_over_it():
    grid = Grid(3, 4)
    pixels = np.argwhere(np.ones((6, 12), bool))
    expected = (pixels[:, 0] // 2) * 4 + pixels[:, 1] // 3
    assert np.array_equal(grid.cells_of(pixels, (6, 12)), expected)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (100, 7), (5, 11)])
def test_every_pixel_of_every_size_lies_in_a_cell(size):
    cells = Grid(3, 4).cells_of(np.argwhere(np.ones(size, bool)), size)
    assert cells.min() >= 0
    assert cells.max() < 12


def test_edges_join_all_neighbours_once():
    first, second = Grid(4, 5).neighbours
    assert len(first) == 4 * 4 + 3 * 5
    rows, columns = np.divmod(first, 5), np.divmod(second, 5)
    assert (np.abs(rows[0] - columns[0]) + np.abs(rows[1] - columns[1]) == 1).all()
    assert len(set(zip(first, second, strict=True))) == len(first)


def test_cells_are_thinned_evenly():
    grid = Grid(60, 80)
    kept = grid.thinned(np.arange(len(grid)), 300)
    assert (np.diff(kept) > 0).all()
    blocks = np.bincount(kept // 80 // 10 * 8 + kept % 80 // 10, minlength=48)
    assert (np.abs(blocks - 300 / 48) <= 2).all()


def test_most_thinned_cells_stay_as_a_stroke_grows():
    grid = Grid(60, 80)
    stroke = np.arange(30 * 80, 33 * 80)
    before, after = grid.thinned(stroke[:200], 32), grid.thinned(stroke, 32)
    assert len(np.intersect1d(before, after)) > 20
