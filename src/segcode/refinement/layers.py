"""The logits of a map: those of the segmenter, and a coarser correction that is added where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from segcode.interpolation import resize, resize_part
from segcode.refinement.blocks import Blocks, Side, ahead, highest

_NUMBERS: Final = 2**19  # logits at a time: they stay in a processor's cache

_CORNERS: Final = tuple(product((0, 1), (0, 1)))


class Bounds(NamedTuple):
    """Bounds of the logits of the base in the blocks between the cells of a coarser grid.

    Attributes:
        sides: down and across.
        least, greatest: logit of each class.
        possible: whether a class may be the highest somewhere.
        margin: the least by which a pixel's highest logit is ahead of its second.
        labels: the class of the highest logit at each cell of the base.
    """

    sides: tuple[Side, Side]
    least: Float[ndarray, "M h w"]
    greatest: Float[ndarray, "M h w"]
    possible: Bool[ndarray, "M h w"]
    margin: Float[ndarray, "h w"]
    labels: UInt8[ndarray, "H W"]

    @staticmethod
    def of(base: Float[ndarray, "M H W"], cells: tuple[int, int]) -> Bounds:
        """Compute them for logits, between the cells of a grid of some rows and columns."""
        down, across = (Side.of(*side) for side in zip(base.shape[1:], cells, strict=True))

        def reduced(of: np.ufunc, plane: Float[ndarray, "H W"]) -> Float[ndarray, "h w"]:
            rows = reduce(of, (plane.take(pixels, 0) for pixels in down.pixels))
            return np.asarray(reduce(of, (rows.take(pixels, 1) for pixels in across.pixels)))

        bounds = [[reduced(of, plane) for of in (np.minimum, np.maximum)] for plane in base]
        least, greatest = np.stack(bounds, 1)
        margin, labels = np.empty(base.shape[1:], np.float32), np.empty(base.shape[1:], np.uint8)
        for rows in Layers(base).bands(_NUMBERS, len(labels)):
            labels[rows], margin[rows] = highest(base[:, rows]), ahead(base[:, rows])
        possible = greatest >= least.max(0)
        return Bounds((down, across), least, greatest, possible, reduced(np.minimum, margin), labels)

    @property
    def nbytes(self) -> int:
        """Memory, in bytes."""
        return sum(one.nbytes for one in self[1:])


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
    _bounds: dict[tuple[int, int], Bounds] = field(default_factory=dict, repr=False)

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
        bounds = sum(one.nbytes for one in self._bounds.values())
        return self.base.nbytes + bounds + (0 if self.added is None else self.added.nbytes)

    def prepare(self, cells: tuple[int, int]) -> Layers:
        """Find now what `highest` needs once something is added on a grid of some rows and columns."""
        if cells != self.grid:
            self._bounds_over(cells)
        return self

    def sum(self) -> Float[ndarray, "M h w"]:
        """All logits."""
        return self.base if self.added is None else resize(self.added, self.grid) + self.base

    def bands(self, numbers: int, rows: int) -> Iterator[slice]:
        """Slices that cover the first `rows` rows, each with at most `numbers` logits, or one row if that has more."""
        step = max(1, numbers // (len(self.base) * self.grid[1]))
        return (slice(top, top + step) for top in range(0, rows, step))

    def block(self, rows: slice, classes: Sequence[int] = ()) -> Float[ndarray, "k n w"]:
        """The logits of some rows; of some classes, or all."""
        base, added = self.base[:, rows], self.added
        if classes:
            base, added = base[list(classes)], None if added is None else added[list(classes)]
        return base if added is None else resize_part(added, self.grid, rows) + base

    def highest(self, classes: Sequence[int] = ()) -> UInt8[ndarray, "h w"]:
        """The place of the highest class at each cell; of some classes, or all.

        Between four cells of the coarser grid, what is added to a class lies between the least and the greatest of
        these four. So logits are summed of the classes alone that reach there what another has everywhere; and not
        where what is added to these, and to the highest of the base, differs less than the base's highest logits do.
        """
        if self.added is None or self.added.shape[1:] == self.grid:
            labels = np.empty(self.grid, np.uint8)
            for rows in self.bands(_NUMBERS, self.grid[0]):
                labels[rows] = highest(self.block(rows, classes))
            return labels
        some = list(classes) or slice(None)
        added, bounds = self.added[some], self._bounds_over((self.added.shape[1], self.added.shape[2]))
        wide, (down, across) = np.pad(added, ((0, 0), (1, 1), (1, 1)), "edge"), bounds.sides
        corners = [wide[:, top : len(down.used) + top, left : len(across.used) + left] for top, left in _CORNERS]
        least, greatest = reduce(np.minimum, corners), reduce(np.maximum, corners)
        possible = greatest + bounds.greatest[some] >= (least + bounds.least[some]).max(0)
        labels = possible.argmax(0).astype(np.uint8).take(across.block, 1).take(down.block, 0)
        mixed = possible.sum(0) > 1
        if not classes:
            either = possible | bounds.possible
            differ = np.where(either, greatest, -np.inf).max(0) - np.where(either, least, np.inf).min(0)
            as_before = mixed & (differ < bounds.margin)
            np.copyto(labels, bounds.labels, where=as_before.take(across.block, 1).take(down.block, 0))
            mixed &= ~as_before
        added = added.reshape(len(added), -1)
        row, column = np.nonzero(mixed)
        for blocks in Blocks(row, column, bounds.sides).parts():
            inside, around = possible[:, blocks.rows, blocks.columns], added.take(blocks.corners(), 1)
            blocks.write_highest(labels, inside, around, base=self.base, classes=classes)
        return labels

    def _bounds_over(self, cells: tuple[int, int]) -> Bounds:
        if cells not in self._bounds:
            self._bounds[cells] = Bounds.of(self.base, cells)
        return self._bounds[cells]
