from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from segcode.interpolation import at_cells, logits_at, nearest, resize, resize_part

MAPS = np.random.default_rng(0).standard_normal((3, 9, 13)).astype(np.float32)
SIZES = [(9, 13), (18, 26), (40, 31), (5, 6), (1, 1), (100, 1), (9, 14)]


def of_torch(size: tuple[int, int]) -> np.ndarray:
    return functional.interpolate(torch.from_numpy(MAPS)[None], size, mode="bilinear")[0].numpy()


@pytest.mark.parametrize("size", SIZES)
def test_maps_at_another_size_are_those_of_pytorch_all_of_them_in_bands_or_at_pixels(size):
    resized = resize(MAPS, size)
    assert resized.dtype == np.float32
    assert resized == pytest.approx(of_torch(size), abs=1e-4)
    half = size[0] // 2
    assert np.array_equal(resize_part(MAPS, size, slice(half, None), slice(1)), resized[:, half:, :1])
    pixels = np.argwhere(np.ones(size, bool))
    assert logits_at(MAPS, pixels, size) == pytest.approx(resized.reshape(3, -1).T, abs=1e-5)


@pytest.mark.parametrize("cells", [(9, 13), (3, 13), (4, 5), (1, 1), (2, 7)])
def test_a_cell_takes_the_mean_of_finer_maps_as_pytorch_does(cells):
    expected = functional.adaptive_avg_pool2d(torch.from_numpy(MAPS), cells).numpy()
    assert at_cells(MAPS, cells) == pytest.approx(expected, abs=1e-6)


def test_a_cell_finer_than_a_map_takes_an_interpolated_value():
    assert at_cells(np.array([[[0.0, 4.0]]]), (1, 4)).ravel().tolist() == [0, 1, 3, 4]
    assert at_cells(np.array([[[0.0, 4.0]]]), (3, 4)).shape == (1, 3, 4)


@pytest.mark.parametrize(("size", "below"), [(5, 5), (7, 3), (3, 7), (1, 9), (40, 9)])
def test_the_nearest_place_is_that_of_pytorch(size, below):
    places = torch.arange(float(below))[None, None]
    expected = functional.interpolate(places, size, mode="nearest-exact")[0, 0].tolist()
    assert nearest(size, below).tolist() == expected
