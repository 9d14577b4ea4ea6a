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
    result = np.empty((len(maps), *size), maps.dtype)
    for plane, resized in zip(maps, result, strict=True):  # one after the other, in a processor's cache
        resized[:] = resize_part(plane[None], size)[0]
    return result


def resize_part(
    maps: Float[ndarray, "M h w"], size: tuple[int, ...], rows: slice = slice(None), columns: slice = slice(None)
) -> Float[ndarray, "M _n _m"]:
    """Some rows and columns of what `resize` gives."""
    above, under, down = (part[rows] for part in _along(size[0], maps.shape[1]))
    left, right, across = (part[columns] for part in _along(size[1], maps.shape[2]))
    near = maps[:, above[0] : under[-1] + 1]
    wide = _blend(near.take(left, 2), near.take(right, 2), across)
    return _blend(wide.take(above - above[0], 1), wide.take(under - above[0], 1), down[:, None])


def at_cells(maps: Float[ndarray, "M h w"], cells: tuple[int, int]) -> Float[ndarray, "M rows columns"]:
    """Maps at the cells of a grid: means of what lies in a cell, or interpolated where the cells are finer."""
    height, width = maps.shape[1:]
    if (height, width) == cells or height < cells[0] or width < cells[1]:
        return resize(maps, cells)
    rows, columns = _means(height, cells[0]), _means(width, cells[1])
    result = np.empty((len(maps), *cells), maps.dtype)
    for plane, means in zip(maps, result, strict=True):
        means[:] = (columns @ (rows @ plane).T).T
    return result


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


def _blend(
    first: Float[ndarray, "M n m"], second: Float[ndarray, "M n m"], share: Float[ndarray, "..."]
) -> Float[ndarray, "M n m"]:
    """A share of the second and the rest of the first, in the memory of the second."""
    second -= first
    second *= share.astype(second.dtype)
    second += first
    return second


@lru_cache(maxsize=32)
def _along(size: int, below: int) -> tuple[Integer[ndarray, "n"], Integer[ndarray, "n"], Float[ndarray, "n"]]:
    """`between` for all places."""
    return between(np.arange(size), size, below)


@lru_cache(maxsize=32)
def _means(size: int, cells: int) -> sparse.csr_array:
    """The weights of `size` places in the mean of each of `cells`; a place on a border counts on both sides."""
    first = np.arange(cells) * size // cells
    count = -(-(np.arange(cells) + 1) * size // cells) - first
    starts = np.concatenate([[0], count.cumsum()])
    places = np.arange(starts[-1]) + np.repeat(first - starts[:-1], count)
    return sparse.csr_array((np.repeat(1 / count, count).astype(np.float32), places, starts), (cells, size))
