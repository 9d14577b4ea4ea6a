"""The logits of a map: those of the segmenter, and a coarser correction that is added where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from segcode.interpolation import between, resize, resize_part

_NUMBERS: Final = 2**19  # logits at a time: they stay in a processor's cache


class Leads(NamedTuple):
    """The highest class of each cell, as its place among some classes, and how far its logit is above all others."""

    first: UInt8[ndarray, "h w"]
    lead: Float[ndarray, "h w"]


@dataclass(frozen=True)
class Layers:
    """Logits of M classes on a grid.

    The sum of both layers, as large as all that the segmenter gave, is only made in parts.

    Attributes:
        base: S0 / T, (M, h, w).
        added: field + J c / T on a coarser grid, which is resized bilinearly; None for nothing.
    """

    base: Float[ndarray, "M h w"]
    added: Float[ndarray, "M _ _"] | None = None
    _leads: dict[tuple[int, ...], Leads] = field(default_factory=dict, repr=False)

    def plus(self, added: Float[ndarray, "M _ _"]) -> Layers:
        """The same base with something else added."""
        return replace(self, added=added)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.base.shape[1], self.base.shape[2]

    @property
    def nbytes(self) -> int:
        """Memory, in bytes."""
        leads = sum(part.nbytes for leads in self._leads.values() for part in leads)
        return self.base.nbytes + leads + (0 if self.added is None else self.added.nbytes)

    def sum(self) -> Float[ndarray, "M h w"]:
        """All logits."""
        return self.base if self.added is None else resize(self.added, self.grid) + self.base

    def bands(self, numbers: int) -> Iterator[slice]:
        """Rows of the grid, with at most some numbers of logits in each band."""
        step = max(1, numbers // (len(self.base) * self.grid[1]))
        return (slice(top, top + step) for top in range(0, self.grid[0], step))

    def block(self, rows: slice, columns: slice = slice(None), classes: Sequence[int] = ()) -> Float[ndarray, "k n m"]:
        """The logits of some rows and columns; of some classes, or all."""
        base, added = self.base[:, rows, columns], self.added
        if classes:
            base, added = base[list(classes)], None if added is None else added[list(classes)]
        return base if added is None else resize_part(added, self.grid, rows, columns) + base

    def highest(self, classes: Sequence[int] = ()) -> UInt8[ndarray, "h w"]:
        """The place of the highest class at each cell; of some classes, or all.

        A cell keeps the class that is the highest in the base if its lead there is above what is added to any other
        class around the cell, over what is added to its own. Logits are summed at the other cells alone.
        """
        first, lead = self._leads_of(tuple(classes))
        if self.added is None:
            return first
        labels, undecided = first.copy(), lead <= self._gain(first, classes)
        for rows in self.bands(_NUMBERS):
            found = np.flatnonzero(undecided[rows].any(0))
            if len(found):
                columns = slice(int(found[0]), int(found[-1]) + 1)
                labels[rows, columns] = highest(self.block(rows, columns, classes))
        return labels

    def _gain(self, first: UInt8[ndarray, "h w"], classes: Sequence[int]) -> Float[ndarray, "h w"]:
        """The most that is added to any class above that of a cell, at the four places around the cell."""
        assert self.added is not None
        added = self.added[list(classes)] if classes else self.added
        gain, places = added.max(0) - added, []
        for axis, size in enumerate(self.grid, 1):
            cells = gain.shape[axis]
            gain = np.maximum(gain, gain.take(np.minimum(np.arange(1, cells + 1), cells - 1), axis))
            places.append(between(np.arange(size), size, cells)[0])
        return gain[first, places[0][:, None], places[1]]

    def _leads_of(self, classes: tuple[int, ...]) -> Leads:
        if classes not in self._leads:
            leads = Leads(np.empty(self.grid, np.uint8), np.empty(self.grid, np.float32))
            base = Layers(self.base)
            for rows in self.bands(_NUMBERS):
                leads.first[rows], leads.lead[rows] = leads_of(base.block(rows, classes=classes))
            self._leads[classes] = leads
        return self._leads[classes]


def highest(logits: Float[ndarray, "k *n"]) -> UInt8[ndarray, "*n"]:
    """The place of the first class with the highest logit."""
    return highest_of(logits, np.arange(len(logits), dtype=np.uint8).reshape(-1, *[1] * (logits.ndim - 1)))


def highest_of(logits: Float[ndarray, "k *n"], classes: UInt8[ndarray, "k *_"]) -> UInt8[ndarray, "*n"]:
    """The first class with the highest logit, of some that rise; all in vector instructions, unlike argmax."""
    return ~((logits == logits.max(0)).view(np.uint8) * ~classes).max(0)


def leads_of(logits: Float[ndarray, "k n m"]) -> Leads:
    """The highest class of each place, and its lead."""
    first, second = logits[0].copy(), np.full(logits.shape[1:], -np.inf, np.float32)
    place = np.zeros(logits.shape[1:], np.uint8)
    for number, plane in enumerate(logits[1:], 1):
        np.maximum(second, np.minimum(first, plane), out=second)
        np.putmask(place, plane > first, number)
        np.maximum(first, plane, out=first)
    return Leads(place, first - second)
