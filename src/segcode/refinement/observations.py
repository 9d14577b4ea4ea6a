"""From labelled pixels to labelled cells."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Integer
from numpy import ndarray

from segcode.field.grid import Grid
from segcode.field.likelihood import Observations
from segcode.truth.truth import Truth


def observe(truth: Truth, grid: Grid, label_weight: float) -> Observations:
    """The entries of a truth at the cells that their pixels lie in, equal entries of a cell merged.

    A cell weighs as much as the surest of its pixels: a click counts as one labelled cell, whatever the resolution of
    the photograph. Where entries of a cell differ, they share its weight by their pixels.

    Args:
        truth: labelled pixels.
        grid: over the image.
        label_weight: weight of a cell that is labelled for certain.
    """
    used = truth.weight > 0
    cells, allowed, weight = grid.cells_of(truth.pixels[used], truth.size), truth.allowed[used], truth.weight[used]
    kind = _kinds(allowed)
    merged, first, entry = np.unique(cells * (kind.max(initial=0) + 1) + kind, return_index=True, return_inverse=True)
    places, place = np.unique(cells[first], return_inverse=True)
    surest = np.zeros(len(places))
    np.maximum.at(surest, place[entry], weight)
    covered = np.bincount(entry, weight, len(merged))
    share = covered / np.bincount(place, covered, len(places))[place]
    return Observations(places, place, allowed[first], label_weight * surest[place] * share)


def _kinds(allowed: Bool[ndarray, "n M"]) -> Integer[ndarray, "n"]:
    """Numbers of the distinct sets of classes; `np.unique` of rows takes ten times as long."""
    kinds = np.zeros(len(allowed), np.int64)
    for start in range(0, allowed.shape[1], 32):
        bits = allowed[:, start : start + 32] @ (1 << np.arange(min(32, allowed.shape[1] - start)))
        kinds = np.unique(kinds << 32 | bits, return_inverse=True)[1]
    return kinds


def region_of_cells(truth: Truth, grid: Grid) -> Integer[ndarray, "c"] | None:
    """The outlined region that the centre of each cell lies in, 0 outside; None where nothing is outlined."""
    if truth.regions is None:
        return None
    rows = ((np.arange(grid.rows) + 0.5) * truth.size[0] / grid.rows).astype(int)
    columns = ((np.arange(grid.columns) + 0.5) * truth.size[1] / grid.columns).astype(int)
    return truth.regions[np.ix_(rows, columns)].ravel()
