"""Where to look next: regions of an image around the labels that would change most."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.field.grid import Grid

WINDOW: Final = 0.12
"""Side of a region by that of the image."""


class Place(NamedTuple):
    """A region by its top left corner, in pixels, and the pixel at which to label.

    Attributes:
        row: of the top left corner.
        column: likewise.
        height: in pixels.
        width: in pixels.
        expected_change: the share of the map that a label at the centre is expected to change, 0..1.
        classes: the likeliest and the second class at the centre.
    """

    row: int
    column: int
    height: int
    width: int
    expected_change: float
    classes: tuple[int, int]


def places_to_look(
    changes: Float[ndarray, "c"], logits: Float[ndarray, "c M"], grid: Grid, size: tuple[int, int], count: int = 8
) -> list[Place]:
    """Regions that do not overlap, the most promising first.

    Args:
        changes: expected change of a label at each cell.
        logits: of each cell.
        grid: the cells.
        size: rows and columns of the image.
        count: maximum number of places.
    """
    height, width = (max(1, round(WINDOW * side)) for side in size)
    left = changes.reshape(grid.shape).copy()
    places: list[Place] = []
    while len(places) < count and left.max() > 0:
        cell_row, cell_column = (int(i) for i in np.unravel_index(left.argmax(), left.shape))
        row = int((cell_row + 0.5) * size[0] / grid.rows)
        column = int((cell_column + 0.5) * size[1] / grid.columns)
        top, start = min(max(0, row - height // 2), size[0] - height), min(max(0, column - width // 2), size[1] - width)
        second, first = np.argsort(logits[cell_row * grid.columns + cell_column])[-2:].tolist()
        places.append(Place(top, start, height, width, float(left[cell_row, cell_column]), (first, second)))
        reach = -(-height * grid.rows // size[0]), -(-width * grid.columns // size[1])
        left[
            max(0, cell_row - reach[0]) : cell_row + reach[0] + 1,
            max(0, cell_column - reach[1]) : cell_column + reach[1] + 1,
        ] = 0
    return places
