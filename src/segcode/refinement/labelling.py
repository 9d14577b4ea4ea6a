"""The class of each pixel of a large image, from logits on a smaller grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from segcode.interpolation import nearest
from segcode.refinement.blocks import Blocks, Side
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
    grid, cells = layers.grid, layers.highest(classes)
    if size[0] <= grid[0] and size[1] <= grid[1]:
        rows, columns = (nearest(*side) for side in zip(size, grid, strict=True))
        return cells if size == grid else cells.take(rows, 0).take(columns, 1)
    down, across = sides = Side.of(size[0], grid[0]), Side.of(size[1], grid[1])
    wide = np.pad(cells, 1, "edge")
    labels = wide.take(across.block, 1).take(down.block, 0)
    mixed = (wide[:-1, :-1] != wide[:-1, 1:]) | (wide[:-1, :-1] != wide[1:, :-1]) | (wide[:-1, :-1] != wide[1:, 1:])
    mixed &= down.used[:, None] & across.used
    for band in layers.bands(_NUMBERS, len(mixed)):
        rows, columns = np.nonzero(mixed[band])
        if len(rows):
            top = max(0, band.start - 1)
            planes = layers.block(slice(top, band.stop), classes)
            planes = planes.reshape(len(planes), -1)
            for blocks in Blocks(rows + band.start, columns, sides).parts():
                corners = planes.take(blocks.corners() - top * grid[1], 1)
                blocks.write_highest(labels, corners.max(1) >= corners.min(1).max(0), corners, guide)
    return labels
