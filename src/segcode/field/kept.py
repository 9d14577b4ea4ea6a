"""Rows that are computed once for each cell, and kept while they are in use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray


class Kept:
    """Caches a function from distinct cells to one row each; the rows of the last call are kept."""

    def __init__(self, compute: Callable[[ndarray], ndarray]) -> None:
        self._compute = compute
        self._cells = np.zeros(0, np.int64)
        self._rows = np.zeros(0)

    def __call__(self, cells: Integer[ndarray, "k"]) -> Float[ndarray, "k *row"]:
        """Return a row for each cell."""
        new = np.setdiff1d(cells, self._cells)
        if len(new) or not len(self._cells):
            kept, rows = np.isin(self._cells, cells), self._compute(new)
            self._rows = np.concatenate([self._rows[kept], rows]) if kept.any() else rows
            self._cells = np.concatenate([self._cells[kept], new])
        order = np.argsort(self._cells)
        return self._rows[order[np.searchsorted(self._cells, cells, sorter=order)]]

    @property
    def nbytes(self) -> int:
        """Memory of the rows, in bytes."""
        return self._rows.nbytes
