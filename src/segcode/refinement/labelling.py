"""The class of each pixel of a large image, from logits on a smaller grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from segcode.interpolation import nearest
from segcode.refinement.blocks import Blocks, Side, highest
from segcode.refinement.guide import Guide
from segcode.refinement.layers import Layers

_NUMBERS: Final = 2**22  # logits in memory at a time


def labels_of(
    layers: Layers, size: tuple[int, int], guide: Guide | None = None, classes: Sequence[int] = ()
) -> UInt8[ndarray, "H W"]:
    """The class of the highest logit at each pixel of a size, as its place among some classes, or all.

    A pixel's logits are a mean of those of the four cells around it, with the shares of a guide, or of bilinear
    resampling. The class that is the highest in all four is so in their mean, hence logits, which have to be finite,
    are computed where the four differ alone, along the edges of regions; and there of the classes alone that are
    somewhere as high as another is everywhere. A pixel that is larger than the cells takes the class of the nearest.
    """
    grid = layers.grid
    if size[0] <= grid[0] and size[1] <= grid[1]:
        cells = layers.highest(classes)
        rows, columns = (nearest(*side) for side in zip(size, grid, strict=True))
        return cells if size == grid else cells.take(rows, 0).take(columns, 1)
    down, across = sides = Side.of(size[0], grid[0]), Side.of(size[1], grid[1])
    labels = np.empty(size, np.uint8)
    for band in layers.bands(_NUMBERS, len(down.used)):
        above, under = down.before[band], down.after[band]
        top, pixels = above[0], slice(*np.searchsorted(down.block, (band.start, band.stop)))
        planes = layers.block(slice(top, under[-1] + 1), classes)
        cells = highest(planes)
        near = [
            cells.take(row - top, 0).take(column, 1)
            for row in (above, under)
            for column in (across.before, across.after)
        ]
        labels[pixels] = near[0].take(across.block, 1).take(down.block[pixels] - band.start, 0)
        mixed = (near[0] != near[1]) | (near[0] != near[2]) | (near[0] != near[3])
        row, column = np.nonzero(mixed & down.used[band, None] & across.used)
        planes = planes.reshape(len(planes), -1)
        for blocks in Blocks(row + band.start, column, sides).parts():
            corners = planes.take(blocks.corners() - top * grid[1], 1)
            blocks.write_highest(labels, corners.max(1) >= corners.min(1).max(0), corners, guide)
    return labels
