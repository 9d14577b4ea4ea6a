"""The result of a refinement: a map, with the truth in it, and the logits that it was made from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy.special import ndtr, softmax

from segcode.data.resize import resize_labels
from segcode.interpolation import between, resize_part
from segcode.refinement.blocks import highest
from segcode.refinement.borders import Borders
from segcode.refinement.guide import Guide
from segcode.refinement.labelling import labels_of
from segcode.refinement.layers import Layers
from segcode.tensors import IGNORE, Image, LabelImage
from segcode.truth.truth import Truth

_BAND: Final = 2**18  # pixels


@dataclass(frozen=True)
class Status:
    """How the mode of the posterior was found.

    Attributes:
        labelled_cells: cells of the grid that the truth labels.
        steps: of the solver.
        converged: whether the solver stopped by itself.
    """

    labelled_cells: int
    steps: int
    converged: bool

    def __str__(self) -> str:
        if self.labelled_cells == 0:
            return "initial prediction"
        end = "" if self.converged else ", stopped early"
        cells, steps = ("" if count == 1 else "s" for count in (self.labelled_cells, self.steps))
        return f"{self.labelled_cells} labelled cell{cells}, {self.steps} solver step{steps}{end}"


@dataclass(frozen=True)
class SegmentationMap:
    """A map at the size of its image.

    Its logits are on the finer of the segmenter's grid and the field's. They are brought to the size of the image in
    bands of rows, by the image itself (`Guide`): those of a large photograph would take gigabytes.

    Attributes:
        layers: S0 / T + field + J c / T.
        truth: that the map follows from; empty for an initial prediction.
        status: how the mode was found.
        code: c, where the segmenter has a code path and the truth is not empty.
        b: of Eq. 3 on the segmenter's grid, divided by T, where it has that.
        borders: the pixels along the outlines of the truth, whose logits are not those of the grid.
        guide: the image, where it has more pixels than the grid has cells; without it logits are resized bilinearly.
    """

    layers: Layers
    truth: Truth
    status: Status
    code: Float[ndarray, "N"] | None = None
    b: Float[ndarray, "_ _"] | None = None
    borders: Borders | None = None
    guide: Guide | None = None

    @property
    def logits(self) -> Float[ndarray, "M h w"]:
        """S0 / T + field + J c / T on the grid."""
        return self.layers.sum()

    @property
    def labels(self) -> LabelImage:
        """Class indices (H, W): the most likely classes, with the truth standing in them as it was given."""
        labels = self.beside_truth()
        if len(self.truth) == 0:
            return labels
        np.copyto(labels, self.truth.labels, where=self.truth.known_mask, casting="unsafe")
        undecided = self.truth.undecided()
        return undecided.paste(labels, self._logits_at(undecided))

    def unpasted(self, image: Image | None = None) -> LabelImage:
        """Class indices without the truth written in, at the size of the image, or at that of a larger version of it.

        Args:
            image: the larger version, RGB.
        """
        labels, exhaustive = self._highest(image, ()), self.truth.exhaustive
        if exhaustive.any() and not exhaustive.all():
            known = resize_labels(exhaustive_labels(self.truth), *labels.shape)
            labels = np.where(exhaustive[labels] & (known != labels + 1), self.beside_truth(image), labels)
        return labels

    def beside_truth(self, image: Image | None = None) -> LabelImage:
        """The same at all pixels that are not labelled as an exhaustive class: sooner, where others are written in."""
        left = np.flatnonzero(~self.truth.exhaustive)
        if len(left) in (0, self.truth.classes):
            return self._highest(image, ())
        return left.astype(np.uint8)[self._highest(image, tuple(left.tolist()))]

    def probabilities(self) -> Float[ndarray, "M H W"]:
        """Class probabilities at the mode, at the size of the image: softmax of the logits.

        An excluded class has probability 0; so have all other classes at a labelled pixel.
        """
        result = np.empty((self.truth.classes, *self.truth.size), np.float32)
        for rows, scores in self._bands():
            result[:, rows] = softmax(scores, 0)
        return result

    def entropy(self) -> Float[ndarray, "H W"]:
        """Entropy of the class probabilities in nats, at the size of the image; 0 at labelled pixels."""
        return self._in_bands(lambda _, scores: entropy(softmax(scores, 0)))

    def relative_noise(self) -> Float[ndarray, "H W"] | None:
        """The noise of Eq. 3 compared with what it attenuates: sqrt(2) b / (z_1 - z_2) for the two highest logits.

        That is the deviation of the noise on their difference, divided by the difference; at the size of the image, at
        least 0, and 0 at labelled pixels. None where the segmenter has no b.
        """
        if self.b is None:
            return None
        noise = math.sqrt(2) * self.b[None]

        def relative(rows: slice, scores: Float[ndarray, "M n W"]) -> Float[ndarray, "n W"]:
            second, first = np.partition(scores, -2, axis=0)[-2:]
            return resize_part(noise, self.truth.size, rows)[0] / np.maximum(first - second, 1e-6)

        return self._in_bands(relative)

    def flip_probability(self) -> Float[ndarray, "H W"] | None:
        """The chance that the noise of Eq. 3 puts the second class of a pixel ahead of its first, in 0..0.5.

        Phi(-1 / r) with r of `relative_noise`, at the size of the image; 0 at labelled pixels. It orders pixels as r
        does, but is 0 to the last bit for small r.
        """
        relative = self.relative_noise()
        return None if relative is None else np.asarray(ndtr(-1 / np.maximum(relative.astype(np.float64), 1e-12)))

    def _in_bands(
        self, work: Callable[[slice, Float[ndarray, "M n W"]], Float[ndarray, "n W"]]
    ) -> Float[ndarray, "H W"]:
        result = np.empty(self.truth.size, np.float32)
        for rows, scores in self._bands():
            result[rows] = work(rows, scores)
        return result

    def _bands(self) -> Iterator[tuple[slice, Float[ndarray, "M n W"]]]:
        """Bands of rows, and the logits of the classes that the truth leaves to their pixels."""
        height, width = self.truth.size
        step = max(1, _BAND // width)
        for top in range(0, height, step):
            bottom = min(top + step, height)
            yield slice(top, bottom), possible(self._scores(top, bottom), self.truth.rows(top, bottom))

    def _scores(self, top: int, bottom: int) -> Float[ndarray, "M n W"]:
        """Logits at the size of the image, of the rows from `top` to `bottom`, that one not included."""
        scores = self._resampled(top, bottom)
        if self.borders is not None:
            rows_beside, columns_beside = self.borders.pixels.T
            inside = (rows_beside >= top) & (rows_beside < bottom)
            scores[:, rows_beside[inside] - top, columns_beside[inside]] = self.borders.logits[inside].T
        return scores

    def _resampled(self, top: int, bottom: int) -> Float[ndarray, "M n W"]:
        (height, width), grid = self.truth.size, self.layers.grid
        if (height, width) == grid:
            return self.layers.block(slice(top, bottom))
        above, under, down = between(np.arange(top, bottom), height, grid[0])
        left, right, across = between(np.arange(width), width, grid[1])
        rows = slice(int(above[0]), int(under[-1]) + 1)
        shares = [up[:, None] * near for up, near in product((1 - down, down), (1 - across, across))]
        if self.guide is not None:
            cells = (row[:, None] * grid[1] + column for row, column in product((above, under), (left, right)))
            colours = [self.guide.colours[:, cell] for cell in cells]
            places = np.arange(top * width, bottom * width).reshape(-1, width)
            shares = self.guide.weigh(places, colours, shares)
            total = sum(shares)
            shares = [share / total for share in shares]
        block = self.layers.block(rows)
        sides = [block.take(column, 2) for column in (left, right)]
        scores = np.zeros((len(block), bottom - top, width), np.float32)
        for (row, side), share in zip(product((above, under), sides), shares, strict=True):
            scores += side.take(row - rows.start, 1) * share
        return scores

    def _highest(self, image: Image | None, classes: tuple[int, ...]) -> UInt8[ndarray, "H W"]:
        """The place, among some classes, or all, of that with the highest logit, at each pixel of a larger version."""
        guide, size = self.guide, self.truth.size
        if image is not None:
            guide, size = Guide.of(image, self.layers.grid), (image.shape[0], image.shape[1])
        labels = labels_of(self.layers, size, guide, classes)
        if self.borders is not None:
            logits = self.borders.logits[:, classes] if classes else self.borders.logits
            beside = np.full(self.truth.size, IGNORE, np.uint8)
            beside[tuple(self.borders.pixels.T)] = highest(logits.T)
            beside = resize_labels(beside, *size)
            np.copyto(labels, beside, where=beside != IGNORE)
        return labels

    def _logits_at(self, truth: Truth) -> Float[ndarray, "n M"]:
        """Logits at the pixels of a truth's entries."""
        rows, columns = truth.pixels.T
        logits = np.empty((len(truth), truth.classes), np.float32)
        step = max(1, _BAND // self.truth.size[1])
        for top in (np.unique(rows // step) * step).tolist():
            inside = np.flatnonzero((rows >= top) & (rows < top + step))
            scores = self._scores(top, min(top + step, self.truth.size[0]))
            logits[inside] = scores[:, rows[inside] - top, columns[inside]].T
        return logits


def masked_softmax(scores: Float[ndarray, "M H W"], truth: Truth) -> Float[ndarray, "M H W"]:
    """Probabilities of the classes that a truth leaves to each pixel."""
    return softmax(possible(scores, truth), 0)


def possible(scores: Float[ndarray, "M H W"], truth: Truth) -> Float[ndarray, "M H W"]:
    """Scores of the classes that a truth leaves to each pixel, minus infinity for the others."""
    if len(truth) == 0 and not truth.exhaustive.any():
        return scores
    impossible = truth.excluded()
    impossible &= ~impossible.all(0)
    other = np.arange(len(scores))[:, None, None] != truth.labels
    return np.where(np.where(truth.labels >= 0, other, impossible), -np.inf, scores)


def exhaustive_labels(truth: Truth) -> UInt8[ndarray, "H W"]:
    """1 + the class of each pixel that is labelled as an exhaustive class, 0 elsewhere."""
    labels = truth.labels
    return np.where((labels >= 0) & truth.exhaustive[labels], labels + 1, 0).astype(np.uint8)


def entropy(probabilities: Float[ndarray, "M H W"]) -> Float[ndarray, "H W"]:
    """Entropy of class probabilities, in nats."""
    return -(probabilities * np.log(np.maximum(probabilities, 1e-30))).sum(0)
