"""The class of each pixel of a large image, from logits on a smaller grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from numpy import ndarray

from segcode.interpolation import between, nearest
from segcode.refinement.guide import Guide
from segcode.refinement.layers import Layers, highest_of

_NUMBERS: Final = 2**22  # logits in memory at a time
_PIXELS: Final = 2**16  # labelled at a time


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


def labels_of(
    layers: Layers, size: tuple[int, int], guide: Guide | None = None, classes: Sequence[int] = ()
) -> UInt8[ndarray, "H W"]:
    """The class of the highest logit at each pixel of a size, as its place among some classes, or all.

    A pixel's logits are a mean of those of the four cells around it, with the shares of a guide, or of bilinear
    resampling. The class that is the highest in all four is so in their mean, hence logits, which have to be finite,
    are computed where the four differ alone, along the edges of regions; and there of the classes alone that are
    somewhere as high as another is everywhere. A pixel that is larger than the cells takes the class of the nearest.
    """
    grid, cells = layers.grid, layers.highest(classes)
    if size[0] <= grid[0] and size[1] <= grid[1]:
        rows, columns = (nearest(*side) for side in zip(size, grid, strict=True))
        return cells if size == grid else cells.take(rows, 0).take(columns, 1)
    down, across = (_Side.of(*side) for side in zip(size, grid, strict=True))
    labels = cells.take(across.before, 1).take(down.before, 0)
    right = cells[:, across.after]
    mixed = (cells != right) | (cells != cells[down.after]) | (cells != right[down.after])
    mixed &= down.used[:, None] & across.used
    for band in layers.bands(_NUMBERS):
        rows, columns = np.nonzero(mixed[band])
        if len(rows):
            planes = layers.block(slice(band.start, band.stop + 1), classes=classes)
            _label(labels, planes, rows + band.start, columns, band.start, (down, across), guide)
    return labels


def _label(
    labels: UInt8[ndarray, "H W"],
    planes: Float[ndarray, "k n w"],
    rows: Integer[ndarray, "q"],
    columns: Integer[ndarray, "q"],
    top: int,
    sides: tuple[_Side, _Side],
    guide: Guide | None,
) -> None:
    """Write the classes of the pixels between some cells and those after them, from rows of logits from `top` on."""
    (down, across), numbers = sides, np.arange(len(planes), dtype=np.uint8)
    step = max(1, _PIXELS // len(across.pixels))
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        corners = [(each, other) for each in (row, down.after[row]) for other in (column, across.after[column])]
        logits = [planes[:, each - top, other] for each, other in corners]
        possible = np.maximum.reduce(logits) >= np.minimum.reduce(logits).max(0)
        count = possible.sum(0)
        for number in np.unique(count):
            some = np.flatnonzero(count == number)
            classes = np.ascontiguousarray(np.nonzero(possible[:, some].T)[1].reshape(-1, number).T)
            chosen = [corner[classes, some][:, None] for corner in logits]
            if guide is not None:
                colours = [guide.colours[:, None, (each * len(across.after) + other)[some]] for each, other in corners]
            right, pixels = across.share[:, column[some]], across.pixels[:, column[some]]
            for under, pixel in zip(down.share[:, row[some]], down.pixels[:, row[some]], strict=True):
                shares = [up * near for up in (1 - under, under) for near in (1 - right, right)]
                if guide is not None:
                    shares = guide.weigh(pixel, pixels, colours, shares)
                logit = sum(share * corner for share, corner in zip(shares, chosen, strict=True))
                labels[pixel, pixels] = highest_of(logit, numbers[classes][:, None])
