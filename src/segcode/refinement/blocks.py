"""Blocks of pixels between the cells of a coarser grid, and the class of each pixel in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from numpy import ndarray

from segcode.refinement.guide import Guide

_PIXELS: Final = 2**16  # labelled at a time


class Side(NamedTuple):
    """How the pixels along one side of an image lie in blocks between the cells of a grid.

    The first block lies before the first cell and the last one behind the last cell: one more than there are cells.

    Attributes:
        before: the cell before each block, or the first.
        after: the cell after each block, or the last.
        block: of each pixel.
        pixels: of each block; the last one is repeated.
        share: how far, 0..1, each of these is on the way from the cell before to the cell after.
        used: whether a block has pixels.
    """

    before: Integer[ndarray, "b"]
    after: Integer[ndarray, "b"]
    block: Integer[ndarray, "n"]
    pixels: Integer[ndarray, "k b"]
    share: Float[ndarray, "k b"]
    used: Bool[ndarray, "b"]

    @staticmethod
    def of(size: int, cells: int) -> Side:
        """The blocks of `size` pixels."""
        exact = (np.arange(size) + 0.5) * cells / size + 0.5
        block, number = exact.astype(np.int64), np.arange(cells + 1)
        count = np.bincount(block, minlength=cells + 1)
        last = count.cumsum() - 1
        first = last + 1 - count
        pixels = np.minimum(first + np.arange(count.max())[:, None], last).clip(0)
        before, after = np.maximum(number - 1, 0), np.minimum(number, cells - 1)
        return Side(before, after, block, pixels, (exact - block).astype(np.float32)[pixels], count > 0)


class Blocks(NamedTuple):
    """Some blocks, by place in their rows and columns.

    Attributes:
        rows, columns: of the blocks.
        sides: down and across.
    """

    rows: Integer[ndarray, "q"]
    columns: Integer[ndarray, "q"]
    sides: tuple[Side, Side]

    def parts(self) -> Iterator[Blocks]:
        """Batches of them, of about `_PIXELS` pixels."""
        step = max(1, _PIXELS // len(self.sides[1].pixels))
        for start in range(0, len(self.rows), step):
            yield Blocks(self.rows[start : start + step], self.columns[start : start + step], self.sides)

    def corners(self) -> Integer[ndarray, "4 q"]:
        """The four cells around each block, counted row by row."""
        width = len(self.sides[1].used) - 1
        rows, columns = ((side.before, side.after) for side in self.sides)
        pairs = product(rows, columns)
        return np.stack([row[self.rows] * width + column[self.columns] for row, column in pairs])

    def write_highest(
        self,
        labels: UInt8[ndarray, "H W"],
        possible: Bool[ndarray, "k q"],
        corners: Float[ndarray, "k 4 q"],
        guide: Guide | None = None,
        base: Float[ndarray, "M H W"] | None = None,
        classes: Sequence[int] = (),
    ) -> None:
        """Write the place of the highest class of each pixel.

        Args:
            labels: to be written.
            possible: classes that may be the highest somewhere in a block; the others are left out.
            corners: logits of the four cells around each block.
            guide: for the shares of these in the logits of a pixel; they are bilinear without it.
            base: logits of each pixel that are added.
            classes: those of `base` that are meant, if not all.
        """
        (down, across), numbers, count = self.sides, np.arange(len(possible), dtype=np.uint8), possible.sum(0)
        cells, width, planes = self.corners(), labels.shape[1], np.array(classes or numbers, np.int64) * labels.size
        for number in np.unique(count):
            some = np.flatnonzero(count == number)
            row, column = self.rows[some], self.columns[some]
            chosen = np.ascontiguousarray(np.nonzero(possible[:, some].T)[1].reshape(-1, number).T)
            around = [corner[:, None] for corner in corners.swapaxes(0, 1)[:, chosen, some]]
            colours = [] if guide is None else list(guide.colours.take(cells[:, some], 1)[:, :, None].swapaxes(0, 1))
            right, pixels = across.share[:, column], across.pixels[:, column]
            for under, pixel in zip(down.share[:, row], down.pixels[:, row] * width, strict=True):
                places = pixel + pixels
                if guide is None:
                    start, end = (around[side] + under * (around[side + 2] - around[side]) for side in (0, 1))
                    logit = start + right * (end - start)
                else:
                    shares = [up * near for up, near in product((1 - under, under), (1 - right, right))]
                    shares = guide.weigh(places, colours, shares)
                    logit = sum(share * corner for share, corner in zip(shares, around, strict=True))
                if base is not None:
                    logit += base.take(planes[chosen][:, None] + places)
                labels.put(places, highest_of(logit, numbers[chosen][:, None]))


def highest(logits: Float[ndarray, "k *n"]) -> UInt8[ndarray, "*n"]:
    """The place of the first class with the highest logit."""
    return highest_of(logits, np.arange(len(logits), dtype=np.uint8).reshape(-1, *[1] * (logits.ndim - 1)))


def ahead(logits: Float[ndarray, "k *n"]) -> Float[ndarray, "*n"]:
    """By how much the highest logit is above the second."""
    first, second = logits[0].copy(), np.full_like(logits[0], -np.inf)
    for logit in logits[1:]:
        np.maximum(second, np.minimum(first, logit), out=second)
        np.maximum(first, logit, out=first)
    return np.asarray(first - second)


def highest_of(logits: Float[ndarray, "k *n"], classes: UInt8[ndarray, "k *_"]) -> UInt8[ndarray, "*n"]:
    """The first class with the highest logit; `classes` rise. All in vector instructions, unlike argmax."""
    return ~((logits == logits.max(0)).view(np.uint8) * ~classes).max(0)
