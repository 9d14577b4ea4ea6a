from __future__ import annotations

import numpy as np
import pytest
from dense import dense_precision, random_precision

from segcode.errors import ConfigError
from segcode.field.constants import FieldConstants
from segcode.field.grid import Grid
from segcode.field.precision import Precision, cell_pull, edge_weights

GRIDS = [Grid(1, 1), Grid(1, 7), Grid(6, 1), Grid(5, 6)]
CONSTANTS = FieldConstants((0.5, 2.0), 0.01, 1e-3, 0.0, 0.0, 1.0, 1.0)


@pytest.fixture(params=GRIDS, ids=lambda grid: f"{grid.rows}x{grid.columns}")
def precision(request) -> Precision:
    return random_precision(request.param)


def test_the_matrix_is_the_laplacian_and_the_pull(precision):
    assert np.allclose(precision.matrix.toarray(), dense_precision(precision), atol=1e-12)


def test_columns_of_the_covariance_are_those_of_the_inverse(precision):
    inverse = np.linalg.inv(dense_precision(precision))
    draw = np.random.default_rng(0)
    for _ in range(4):  # some are kept from the call before
        cells = draw.permutation(len(precision.grid))[: draw.integers(1, len(precision.grid) + 1)]
        assert np.allclose(precision.covariance(cells), inverse[:, cells], rtol=1e-9)
    assert precision.covariance(np.zeros(0, int)).shape == (len(precision.grid), 0)


def test_columns_that_were_asked_for_are_not_solved_for_again(monkeypatch):
    precision = random_precision(Grid(5, 6))
    precision.covariance(np.array([3, 7, 20]))
    monkeypatch.setattr(precision, "solve", lambda right: pytest.fail("solved again"))
    precision.covariance(np.array([20, 3]))


def test_samples_have_the_covariance():
    precision = random_precision(Grid(3, 4))
    samples = precision.sample(40_000, np.random.default_rng(0))
    expected = np.linalg.inv(dense_precision(precision))
    assert np.cov(samples) == pytest.approx(expected, abs=0.03 * expected.max())
    assert np.abs(samples.mean(1)).max() < 0.03 * np.sqrt(expected.max())


def test_a_diagonal_is_added_to_the_precision(precision):
    diagonal = np.arange(len(precision.grid), dtype=float)
    right = np.ones(len(precision.grid))
    expected = np.linalg.solve(dense_precision(precision) + np.diag(diagonal), right)
    assert np.allclose(precision.plus(diagonal).solve(right), expected)


def test_a_prior_without_some_cells_has_no_edge_at_them_and_is_that_of_the_others(precision):
    out = np.arange(len(precision.grid)) % 3 == 1
    free, kept = precision.without(out), np.flatnonzero(~out)
    first, second = precision.grid.neighbours
    apart = out[first] | out[second]
    assert (free.weights == np.where(apart, 0, precision.weights)).all()
    assert np.allclose(free.matrix.diagonal()[out], precision.matrix.diagonal()[out])
    expected = dense_precision(free)
    assert np.allclose(free.matrix.toarray(), expected)
    assert not expected[np.ix_(out, ~out)].any()
    assert np.allclose(free.covariance(kept)[kept], np.linalg.inv(expected[np.ix_(kept, kept)]))


def test_a_cut_lowers_the_edges_between_regions_alone():
    precision = random_precision(Grid(4, 5))
    regions = np.zeros((4, 5), int)
    regions[1:3, 1:4] = 1
    cut = precision.cut(regions.ravel(), 1e-4)
    first, second = precision.grid.neighbours
    crossing = regions.ravel()[first] != regions.ravel()[second]
    assert crossing.sum() == 10
    assert (cut.weights[crossing] == 1e-4).all()
    assert np.array_equal(cut.weights[~crossing], precision.weights[~crossing])
    inside = np.flatnonzero(regions.ravel())
    before, after = precision.covariance(inside[:1])[:, 0], cut.covariance(inside[:1])[:, 0]
    outside = np.flatnonzero(regions.ravel() == 0)
    assert (after[outside] / after[inside[0]] < 0.2 * before[outside] / before[inside[0]]).all()


def test_a_cut_never_joins_what_is_weaker_already():
    precision = random_precision(Grid(4, 5))
    assert np.array_equal(precision.cut(np.arange(20), 0.5).weights, np.minimum(precision.weights, 0.5))


def test_edges_weigh_by_the_difference_of_features():
    grid = Grid(2, 2)
    colours = np.array([[0.0, 1.0, 0.0, 1.0]])
    texture = np.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    across, down = np.exp(-0.5) + 0.01, np.exp(-2.0 * 4) + 0.01
    weights = edge_weights([colours, texture], grid, CONSTANTS)
    assert weights == pytest.approx([across, across, down, down], rel=1e-5)


def test_edge_weights_lie_between_the_floor_and_one_more():
    levels = [np.random.default_rng(0).normal(0, 3, (channels, 30)) for channels in (3, 8)]
    weights = edge_weights(levels, Grid(5, 6), CONSTANTS)
    assert (weights >= 0.01).all()
    assert (weights <= 1.01).all()
    assert edge_weights([np.zeros((3, 30))] * 2, Grid(5, 6), CONSTANTS) == pytest.approx(1.01)


def test_the_pull_is_weaker_where_and_in_images_that_the_initial_prediction_is_unsure_of():
    constants = FieldConstants((1.0,), 0.01, 1e-3, 2.0, 3.0, 1.0, 1.0)
    sure, unsure = np.array([[50.0, 0.0]]), np.zeros((1, 2))
    nats = np.log(2)
    assert np.allclose(cell_pull(np.concatenate([sure, sure]), constants), 1e-3)
    mixed = 1e-3 * np.exp(-3 * nats / 2)  # the mean entropy is half of that of two even classes
    assert np.allclose(cell_pull(np.concatenate([sure, unsure]), constants), [mixed, mixed * np.exp(-2 * nats)])


def test_constants_for_other_levels_are_refused():
    with pytest.raises(ConfigError, match="2 edge_scales for 1 levels"):
        edge_weights([np.zeros((3, 4), np.float32)], Grid(2, 2), CONSTANTS)
