"""From labelled pixels to labelled cells."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer
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


def _numbered(keys: Integer[ndarray, "n"]) -> tuple[Integer[ndarray, "k"], Integer[ndarray, "n"]]:
    """The distinct keys, at least 0, in rising order, and the place of each key among them; without sorting."""
    present = np.zeros(keys.max(initial=-1) + 1, bool)
    present[keys] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[keys]


def region_of_cells(truth: Truth, grid: Grid) -> Integer[ndarray, "c"] | None:
    """The outlined region that the centre of each cell lies in, 0 outside; None where nothing is outlined."""
    if truth.regions is None:
        return None
    rows = ((np.arange(grid.rows) + 0.5) * truth.size[0] / grid.rows).astype(int)
    columns = ((np.arange(grid.columns) + 0.5) * truth.size[1] / grid.columns).astype(int)
    return truth.regions[np.ix_(rows, columns)].ravel()
