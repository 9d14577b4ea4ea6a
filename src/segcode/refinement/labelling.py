"""The class of each pixel of a large image, from logits on the network's smaller grid."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from numpy import ndarray

from segcode.interpolation import between
from segcode.tensors import LabelImage

_BLOCK: Final = 2**13  # cells at a time: their logits stay in a processor's cache


class _Side(NamedTuple):
    """How the pixels along one side of an image lie between the cells of a grid.

    Attributes:
        before: the cell at or before each pixel.
        after: the cell after each cell.
        pixels: between each cell and the next; the last one is repeated.
        share: how far, 0..1, each of these is on the way to the next cell.
        used: whether there are any.
    """

    before: Integer[ndarray, "n"]
    after: Integer[ndarray, "c"]
    pixels: Integer[ndarray, "k c"]
    share: Float[ndarray, "k c"]
    used: Bool[ndarray, "c"]

    @staticmethod
    def of(size: int, cells: int) -> _Side:
        before, _, share = between(np.arange(size), size, cells)
        counts = np.bincount(before, minlength=cells)
        last = counts.cumsum() - 1
        pixels = np.minimum(last + 1 - counts + np.arange(counts.max())[:, None], last).clip(0)
        after = np.minimum(np.arange(1, cells + 1), cells - 1)
        return _Side(before, after, pixels, share.astype(np.float32)[pixels], counts > 0)


def labels_of(logits: Float[ndarray, "M h w"], size: tuple[int, int]) -> LabelImage:
    """The class of the highest logit at each pixel of a size, as of logits resized bilinearly, without resizing them.

    A pixel's logits are a mean of those of four cells. The class that is the highest in all four is so in their mean,
    hence logits, which have to be finite, are computed where the four differ alone, along the edges of regions; and
    there of the classes alone that are somewhere as high as another is everywhere.
    """
    planes = logits.reshape(len(logits), -1)
    grid, numbers = tuple(logits.shape[1:]), np.arange(len(logits), dtype=np.uint8)
    cells = _highest(planes, numbers[:, None]).reshape(grid)
    if size == grid:
        return cells
    down, across = (_Side.of(*side) for side in zip(size, grid, strict=True))
    labels = cells.take(across.before, 1).take(down.before, 0)
    right = cells[:, across.after]
    mixed = (cells != right) | (cells != cells[down.after]) | (cells != right[down.after])
    rows, columns = np.nonzero(mixed & down.used[:, None] & across.used)
    for start in range(0, len(rows), _BLOCK):
        row, column = rows[start : start + _BLOCK], columns[start : start + _BLOCK]
        places = [at * grid[1] for at in (row, down.after[row])]
        corners = [planes.take(place + at, 1) for place in places for at in (column, across.after[column])]
        possible = np.maximum.reduce(corners) >= np.minimum.reduce(corners).max(0)
        count = possible.sum(0)
        for number in np.unique(count):
            some = np.flatnonzero(count == number)
            classes = np.ascontiguousarray(np.nonzero(possible[:, some].T)[1].reshape(-1, number).T)
            above_left, above_right, left, right = (corner[classes, some] for corner in corners)
            left, right = left - above_left, right - above_right
            shares, pixels = across.share[:, column[some]], across.pixels[:, column[some]]
            for share, pixel in zip(down.share[:, row[some]], down.pixels[:, row[some]], strict=True):
                first, last = above_left + share * left, above_right + share * right
                logit = first[:, None] + shares * (last - first)[:, None]
                labels.reshape(-1)[pixel * size[1] + pixels] = _highest(logit, numbers[classes][:, None])
    return labels


def _highest(logits: Float[ndarray, "n *k"], classes: UInt8[ndarray, "n *_"]) -> UInt8[ndarray, "*k"]:
    """The first class with the highest logit; all in vector instructions of a processor, unlike argmax."""
    return ~((logits == logits.max(0)).view(np.uint8) * ~classes).max(0)
