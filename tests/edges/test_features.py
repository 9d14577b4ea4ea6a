from __future__ import annotations

import numpy as np
import pytest
import torch

from segcode.edges.features import edge_features
from segcode.edges.network import load_edge_network
from segcode.field.constants import load_constants
from segcode.field.grid import Grid
from segcode.field.precision import edge_weights
from segcode.prediction import InitialPrediction
from segcode.streets.streets import Streets


def noise(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)


def features_of(image: np.ndarray, grid: Grid, given=None) -> list[np.ndarray]:
    return edge_features(image, grid, InitialPrediction(np.zeros((2, 1, 1), np.float32), given))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 96), (200, 9), (7, 130), (90, 122)])
def test_each_level_has_features_at_every_cell_whatever_the_shape_of_the_image(size):
    grid = Grid.over(size)
    levels = features_of(noise(*size), grid)
    assert [level.shape for level in levels] == [(channels, len(grid)) for channels in (16, 24, 40, 3)]
    assert all(np.isfinite(level).all() for level in levels)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 96), (200, 9)])
def test_weights_lie_between_the_floor_and_one_more(size):
    grid, constants = Grid.over(size), load_constants()
    weights = edge_weights(features_of(noise(*size), grid), grid, constants)
    assert len(weights) == len(grid.neighbours[0])
    assert (weights >= constants.floor).all()
    assert (weights <= 1 + constants.floor).all()


def test_two_colours_have_an_edge_between_them():
    image = np.full((64, 96, 3), 40, np.uint8)
    image[:, 48:] = 210
    grid = Grid.over((64, 96))
    weights = edge_weights(features_of(image, grid), grid, load_constants())
    across = weights[: 16 * 23].reshape(16, 23)
    assert across[:, 11].max() < 0.1 * np.median(across)


def test_a_dark_image_has_the_edges_of_the_same_image_brightened():
    street = Streets(count=1, seed=3)[0].image
    grid, constants = Grid.over(street.shape[:2]), load_constants()
    dark = np.uint8(np.round(255 * (street / 255) ** 2.2))
    luma = dark.mean((0, 1)) @ [0.299, 0.587, 0.114] / 255
    assert luma < 0.35
    brightened = np.uint8(np.round(255 * (dark / 255) ** (np.log(0.4) / np.log(luma))))
    of_dark, of_brightened = (edge_weights(features_of(each, grid), grid, constants) for each in (dark, brightened))
    assert np.abs(of_dark - of_brightened).mean() < 0.01


def test_features_of_the_segmenter_take_the_place_of_the_network():
    grid = Grid(4, 5)
    given = tuple(np.random.default_rng(0).standard_normal(shape) for shape in ((7, 8, 10), (3, 2, 2)))
    first, second = grid.neighbours
    levels = features_of(noise(16, 20), grid, given)
    assert [level.shape for level in levels] == [(7, 20), (3, 20)]
    for level in levels:
        assert np.square(level[:, first] - level[:, second]).sum(0).mean() == pytest.approx(1, rel=1e-5)


def test_given_features_without_any_edge_are_no_error():
    for grid in (Grid(1, 1), Grid(3, 4)):
        (level,) = features_of(noise(16, 20), grid, (np.ones((2, 8, 8)),))
        assert np.isfinite(level).all()


def test_the_network_is_that_of_its_weights():
    """Their typical distances are measured, and none of the layers is left random."""
    network = load_edge_network()
    assert network is load_edge_network()
    assert not network.training
    assert (network.typical > 0).all()
    assert len(set(network.typical.tolist())) == 4
    assert all(torch.isfinite(p).all() and not p.requires_grad for p in network.parameters())
