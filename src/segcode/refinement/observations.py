"""From labelled pixels to labelled cells."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Integer
from numpy import ndarray
from scipy import ndimage

from segcode.field.grid import Grid, cells_along
from segcode.field.likelihood import Observations
from segcode.truth.truth import Truth, numbered


def observe(truth: Truth, grid: Grid, label_weight: float) -> Observations:
    """The entries of a truth at the cells that their pixels lie in, equal entries of a cell merged.

    A cell weighs as much as the surest of its pixels: a click counts as one labelled cell, whatever the resolution of
    the photograph. Where entries of a cell differ, they share its weight by their pixels.

    A region that ends labels the cells whose centres lie in it: its border runs between cells. Elsewhere, a cell is
    labelled as none of the exhaustive classes.

    Args:
        truth: labelled pixels.
        grid: over the image.
        label_weight: weight of a cell that is labelled for certain.
    """
    sets, kind = truth.kinds
    cells, weight, used = grid.cells_of(truth.pixels, truth.size), truth.weight, truth.weight > 0
    if (regions := region_of_cells(truth, grid)) is not None and truth.regions is not None:
        used &= regions[cells] == truth.regions.ravel()[truth.flat]
    if not used.all():
        cells, kind, weight = cells[used], kind[used], weight[used]
    if truth.exhaustive.any() and not truth.exhaustive.all():
        elsewhere = np.flatnonzero(truth.labels[_centres(truth.size, grid)].ravel() < 0)
        same = (sets == ~truth.exhaustive).all(1)
        number = int(same.argmax()) if same.any() else len(sets)
        sets = sets if same.any() else np.concatenate([sets, ~truth.exhaustive[None]])
        cells = np.concatenate([cells, elsewhere])
        kind = np.concatenate([kind, np.full(len(elsewhere), number)])
        weight = np.concatenate([weight, np.ones(len(elsewhere))])
    merged, entry = numbered(cells * len(sets) + kind)
    places, place = numbered(merged // max(1, len(sets)))
    surest = np.zeros(len(places))
    np.maximum.at(surest, place[entry], weight)
    covered = np.bincount(entry, weight, len(merged))
    share = covered / np.bincount(place, covered, len(places))[place]
    return Observations(places, place, sets[merged % max(1, len(sets))], label_weight * surest[place] * share)


def settled_cells(truth: Truth, grid: Grid) -> Bool[ndarray, "c"]:
    """Cells whose pixels are all labelled, as are those of the eight around them; beyond the image nothing is missing.

    No unlabelled pixel lies between such cells, and the labelled cells around them separate them from all other cells.
    """
    known = truth.known_mask
    for axis, (pixels, cells) in enumerate(zip(truth.size, grid.shape, strict=True)):
        first = np.searchsorted(cells_along(np.arange(pixels), pixels, cells), np.arange(cells))
        known = np.logical_and.reduceat(known, first, axis)
    return ndimage.binary_erosion(known, np.ones((3, 3), bool), border_value=1).ravel()


def region_of_cells(truth: Truth, grid: Grid) -> Integer[ndarray, "c"] | None:
    """The outlined region that the centre of each cell lies in, 0 outside; None where nothing is outlined."""
    if truth.regions is None:
        return None
    return truth.regions[_centres(truth.size, grid)].ravel()


def _centres(size: tuple[int, int], grid: Grid) -> tuple[ndarray, ndarray]:
    """Row and column indices of the pixels at the centres of all cells, to be broadcast against each other."""
    rows = ((np.arange(grid.rows) + 0.5) * size[0] / grid.rows).astype(int)
    columns = ((np.arange(grid.columns) + 0.5) * size[1] / grid.columns).astype(int)
    return rows[:, None], columns
