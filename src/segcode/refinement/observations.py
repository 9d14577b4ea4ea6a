"""From labelled pixels to labelled cells."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Integer
from numpy import ndarray
from scipy import ndimage

from segcode.field.grid import Grid, cells_along
from segcode.field.likelihood import Observations
from segcode.truth.truth import Truth


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
    used = truth.weight > 0
    cells = grid.cells_of(truth.pixels, truth.size)
    if (regions := region_of_cells(truth, grid)) is not None and truth.regions is not None:
        rows, columns = truth.pixels.T
        used &= regions[cells] == truth.regions[rows, columns]
    cells, allowed, weight = cells[used], truth.allowed[used], truth.weight[used]
    if truth.exhaustive.any() and not truth.exhaustive.all():
        elsewhere = np.flatnonzero(truth.labels[_centres(truth.size, grid)].ravel() < 0)
        cells = np.concatenate([cells, elsewhere])
        allowed = np.concatenate([allowed, np.broadcast_to(~truth.exhaustive, (len(elsewhere), truth.classes))])
        weight = np.concatenate([weight, np.ones(len(elsewhere))])
    kind = np.zeros(len(cells), int)
    for byte in np.packbits(allowed, axis=1).T:
        kind = _numbered(256 * kind + byte)[1]
    kinds = kind.max(initial=0) + 1
    merged, entry = _numbered(cells * kinds + kind)
    first = np.zeros(len(merged), int)
    first[entry] = np.arange(len(entry))
    places, place = _numbered(merged // kinds)
    surest = np.zeros(len(places))
    np.maximum.at(surest, place[entry], weight)
    covered = np.bincount(entry, weight, len(merged))
    share = covered / np.bincount(place, covered, len(places))[place]
    return Observations(places, place, allowed[first], label_weight * surest[place] * share)


def settled_cells(truth: Truth, grid: Grid) -> Bool[ndarray, "c"]:
    """Cells whose pixels are all labelled, as are those of the eight around them; beyond the image nothing is missing.

    No unlabelled pixel lies between such cells, and the labelled cells around them separate them from all other cells.
    """
    known = truth.known_mask
    for axis, (pixels, cells) in enumerate(zip(truth.size, grid.shape, strict=True)):
        first = np.searchsorted(cells_along(np.arange(pixels), pixels, cells), np.arange(cells))
        known = np.logical_and.reduceat(known, first, axis)
    return ndimage.binary_erosion(known, np.ones((3, 3), bool), border_value=1).ravel()


def _numbered(keys: Integer[ndarray, "n"]) -> tuple[Integer[ndarray, "k"], Integer[ndarray, "n"]]:
    """The distinct keys, at least 0, in rising order, and the place of each key among them; without sorting."""
    present = np.zeros(keys.max(initial=-1) + 1, bool)
    present[keys] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[keys]


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
