"""Maps at other sizes in NumPy, all of a map or place by place; pixel centres are at half-integers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy import sparse

from segcode.tensors import Pixels


def resize(maps: Float[ndarray, "M h w"], size: tuple[int, ...]) -> Float[ndarray, "M H W"]:
    """Maps at another size (rows, columns), bilinearly and without antialiasing; those that have it are returned."""
    if maps.shape[1:] == size:
        return maps
    return _resampled(maps, _bilinear(maps.shape[1], size[0]), _bilinear(maps.shape[2], size[1]))


def resize_rows(maps: Float[ndarray, "M h w"], size: tuple[int, int], top: int, bottom: int) -> Float[ndarray, "M n W"]:
    """Rows `top` to `bottom`, the latter not included, of what `resize` gives."""
    return _resampled(maps, _bilinear(maps.shape[1], size[0])[top:bottom], _bilinear(maps.shape[2], size[1]))


def at_cells(maps: Float[ndarray, "M h w"], cells: tuple[int, int]) -> Float[ndarray, "M rows columns"]:
    """Maps at the cells of a grid: means of what lies in a cell, or interpolated where the cells are finer."""
    height, width = maps.shape[1:]
    if (height, width) == cells or height < cells[0] or width < cells[1]:
        return resize(maps, cells)
    return _resampled(maps, _means(height, cells[0]), _means(width, cells[1]))


def neighbours(
    places: Pixels, size: tuple[int, int], below: tuple[int, int]
) -> tuple[Integer[ndarray, "n 4"], Float[ndarray, "n 4"]]:
    """The four cells of a coarser grid that bilinear resampling mixes at places of a finer one, row by row, and how."""
    above, under, down = between(places[:, 0], size[0], below[0])
    left, right, across = between(places[:, 1], size[1], below[1])
    above, under, up, near = above * below[1], under * below[1], 1 - down, 1 - across
    cells = np.stack([above + left, above + right, under + left, under + right], axis=1)
    return cells, np.stack([up * near, up * across, down * near, down * across], axis=1)


def between(
    places: Integer[ndarray, "n"], size: int, below: int
) -> tuple[Integer[ndarray, "n"], Integer[ndarray, "n"], Float[ndarray, "n"]]:
    """Along one side: the cells before and after each place, and how far, 0..1, it is on the way to the second."""
    exact = np.clip((places + 0.5) * below / size - 0.5, 0, below - 1)
    before = exact.astype(np.int64)
    return before, np.minimum(before + 1, below - 1), exact - before


def nearest(size: int, below: int) -> Integer[ndarray, "n"]:
    """Along one side: the cell that the centre of each of `size` places lies in."""
    return (2 * np.arange(size) + 1) * below // (2 * size)


def logits_at(logits: Float[ndarray, "M h w"], pixels: Pixels, size: tuple[int, int]) -> Float[ndarray, "n M"]:
    """Logits resized bilinearly to (rows, columns), at some pixels."""
    cells, shares = neighbours(pixels, size, (logits.shape[1], logits.shape[2]))
    table = logits.reshape(len(logits), -1)
    return np.einsum("mnk,nk->nm", table[:, cells], shares.astype(logits.dtype))


def _resampled(
    maps: Float[ndarray, "M h w"], rows: sparse.csr_array, columns: sparse.csr_array
) -> Float[ndarray, "M H W"]:
    """Maps times a matrix from the left and one from the right, map by map to bound the memory."""
    result = np.empty((len(maps), rows.shape[0], columns.shape[0]), maps.dtype)
    for plane, resampled in zip(maps, result, strict=True):
        resampled[:] = (columns @ (rows @ plane).T).T
    return result


@lru_cache(maxsize=32)
def _bilinear(cells: int, size: int) -> sparse.csr_array:
    """The weights of `cells` places in each of `size`."""
    before, after, share = between(np.arange(size), size, cells)
    weights = np.stack([1 - share, share], axis=1, dtype=np.float32)
    return sparse.csr_array(
        (weights.ravel(), np.stack([before, after], axis=1).ravel(), np.arange(0, 2 * size + 1, 2)), (size, cells)
    )


@lru_cache(maxsize=32)
def _means(size: int, cells: int) -> sparse.csr_array:
    """The weights of `size` places in the mean of each of `cells`; a place on a border counts on both sides."""
    first = np.arange(cells) * size // cells
    count = -(-(np.arange(cells) + 1) * size // cells) - first
    starts = np.concatenate([[0], count.cumsum()])
    places = np.arange(starts[-1]) + np.repeat(first - starts[:-1], count)
    return sparse.csr_array((np.repeat(1 / count, count).astype(np.float32), places, starts), (cells, size))
