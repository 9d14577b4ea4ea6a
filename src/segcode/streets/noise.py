"""Tileable noise, made once: the grain of every surface and the outline of every tree."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

SIDE: Final = 512
"""Side of the tiles in texels; a power of two, so that wrapping around is a bit mask."""


def _octave(random: np.random.Generator, cells: int) -> Float32[ndarray, "512 512"]:
    """Smooth noise of a number of cells a side, interpolated with zero slope at the grid's points."""
    grid = random.standard_normal((cells, cells), dtype=np.float32)
    position = np.arange(SIDE) * cells / SIDE
    cell = position.astype(np.intp)
    weight = (position - cell).astype(np.float32)
    weight = weight * weight * (3 - 2 * weight)
    following = (cell + 1) % cells
    rows = grid[cell] * (1 - weight)[:, None] + grid[following] * weight[:, None]
    return rows[:, cell] * (1 - weight) + rows[:, following] * weight


def _tile(octaves: tuple[int, ...], fall: float) -> Float32[ndarray, "512 512"]:
    random = np.random.default_rng(20190527)  # fixed: the tiles are part of the renderer, not of a scene
    tile = sum(_octave(random, cells) * np.float32(fall**k) for k, cells in enumerate(octaves))
    return np.ascontiguousarray((tile - np.mean(tile)) / np.std(tile), np.float32)


GRAIN: Final = _tile((64, 128, 256, 512), 0.9)
"""Fine noise: asphalt, plaster, leaves."""

CLOUD: Final = _tile((4, 8, 16, 32, 64, 128), 0.55)
"""Coarse noise: clouds, stains, the outlines of trees."""

WHITE: Final = np.random.default_rng(7).random((SIDE, SIDE), dtype=np.float32)
"""Independent numbers in 0..1, one a texel: a random choice for each window or slab."""


def lookup(tile: Float32[ndarray, "512 512"], u: ndarray, v: ndarray) -> ndarray:
    """The tile's values at (u, v) in texels, repeated over the plane."""
    offset = 1 << 16  # keeps the coordinates positive, where truncation is floor
    columns = (u + offset).astype(np.int32) & (SIDE - 1)
    rows = (v + offset).astype(np.int32) & (SIDE - 1)
    return tile.reshape(-1).take(rows * SIDE + columns)
