"""Logits of the pixels along outlines, where the field of each side is that of the cells on the same side.

Cells are larger than pixels: a field that jumps at an outline, resized bilinearly, would run over it by up to a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from segcode.field.grid import Grid
from segcode.interpolation import between, logits_at, neighbours
from segcode.refinement.observations import region_of_cells
from segcode.truth.truth import Truth


@dataclass(frozen=True)
class Borders:
    """Pixels next to an outline.

    Attributes:
        pixels: rows and columns.
        logits: of each.
    """

    pixels: Integer[ndarray, "n 2"]
    logits: Float[ndarray, "n M"]


def along_outlines(
    rest: Sequence[Float[ndarray, "M _ _"]], field: Float[ndarray, "c M"], truth: Truth, grid: Grid
) -> Borders | None:
    """The pixels that bilinear resampling gives the field of two regions, with that of their own region alone.

    A pixel without a cell of its region among the four around it, as in a region thinner than a cell, keeps the mean of
    these four.

    Args:
        rest: what the field is added to, S0 / T and J c / T, each on a grid of its own.
        field: of each class at each cell.
        truth: whose regions count.
        grid: the cells.

    Returns:
        None for a truth without outlines.
    """
    of_cells = region_of_cells(truth, grid)
    if of_cells is None or truth.regions is None:
        return None
    pixels = np.argwhere(_mixed(truth.regions, of_cells.reshape(grid.shape)))
    found, shares = neighbours(pixels, truth.size, grid.shape)
    own = shares * (of_cells[found] == truth.regions[tuple(pixels.T)][:, None])
    own = np.where(own.any(1, keepdims=True), own, shares)
    own /= own.sum(1, keepdims=True)
    added = np.einsum("nkm,nk->nm", field[found], own)
    return Borders(pixels, sum((logits_at(each, pixels, truth.size) for each in rest), added))


def _mixed(regions: Integer[ndarray, "H W"], of_cells: Integer[ndarray, "h w"]) -> Bool[ndarray, "H W"]:
    """The pixels at which one of the four cells around a pixel lies in another region than the pixel."""
    (above, under), (left, right) = (
        between(np.arange(size), size, cells)[:2] for size, cells in zip(regions.shape, of_cells.shape, strict=True)
    )
    differs = np.zeros(regions.shape, bool)
    for rows in (above, under):
        at_rows = of_cells.take(rows, 0)
        for columns in (left, right):
            differs |= at_rows.take(columns, 1) != regions
    return differs
