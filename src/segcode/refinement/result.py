"""The result of a refinement: a map, with the truth in it, and the logits that it was made from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Integer, UInt8
from numpy import ndarray
from scipy.special import ndtr, softmax

from segcode.interpolation import logits_at, nearest, resize, resize_rows
from segcode.refinement.borders import Borders
from segcode.refinement.labelling import labels_of
from segcode.tensors import IGNORE, LabelImage
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

    Attributes:
        logits: S0 / T + field + J c / T, on the finer of the segmenter's grid and the field's, (M, h, w).
        truth: that the map follows from; empty for an initial prediction.
        code: c, where the segmenter has a code path and the truth is not empty.
        b: of Eq. 3 on the segmenter's grid, divided by T, where it has that.
        status: how the mode was found.
        borders: the pixels along the outlines of the truth, whose logits are not those of the grid.
    """

    logits: Float[ndarray, "M h w"]
    truth: Truth
    status: Status
    code: Float[ndarray, "N"] | None = None
    b: Float[ndarray, "_ _"] | None = None
    borders: Borders | None = None

    @property
    def labels(self) -> LabelImage:
        """Class indices (H, W): the most likely classes, with the truth standing in them as it was given."""
        labels = self.unpasted()
        if len(self.truth) == 0:
            return labels
        np.copyto(labels, self.truth.labels, where=self.truth.known_mask, casting="unsafe")
        undecided = self.truth.undecided()
        return undecided.paste(labels, self._logits_at(undecided))

    def unpasted(self, size: tuple[int, int] | None = None) -> LabelImage:
        """Class indices without the truth written in, at the size of the image or at another one.

        The logits are not resized for it: those of a large photograph would take gigabytes.
        """
        size = size or self.truth.size
        labels = self._highest(size, slice(None))
        exhaustive = self.truth.exhaustive
        if exhaustive.any() and not exhaustive.all():
            left = np.flatnonzero(~exhaustive)
            others = left.astype(np.uint8)[self._highest(size, left)]
            known = _nearest(exhaustive_labels(self.truth), size)
            labels = np.where(exhaustive[labels] & (known != labels + 1), others, labels)
        return labels

    def probabilities(self) -> Float[ndarray, "M H W"]:
        """Class probabilities at the mode, at the size of the image: softmax of the logits.

        An excluded class has probability 0; so have all other classes at a labelled pixel.
        """
        return masked_softmax(self._scores(), self.truth)

    def entropy(self) -> Float[ndarray, "H W"]:
        """Entropy of the class probabilities in nats, at the size of the image; 0 at labelled pixels.

        It is computed in bands of rows: the probabilities of a large photograph would take gigabytes.
        """
        height, width = self.truth.size
        result = np.empty((height, width), np.float32)
        step = max(1, _BAND // width)
        for top in range(0, height, step):
            bottom = min(top + step, height)
            result[top:bottom] = entropy(masked_softmax(self._scores(top, bottom), self.truth.rows(top, bottom)))
        return result

    def relative_noise(self) -> Float[ndarray, "H W"] | None:
        """The noise of Eq. 3 compared with what it attenuates: sqrt(2) b / (z_1 - z_2) for the two highest logits.

        That is the deviation of the noise on their difference, divided by the difference; at the size of the image, at
        least 0, and 0 at labelled pixels. None where the segmenter has no b.
        """
        if self.b is None:
            return None
        second, first = np.partition(possible(self._scores(), self.truth), -2, axis=0)[-2:]
        deviation = math.sqrt(2) * resize(self.b[None], self.truth.size)[0]
        return deviation / np.maximum(first - second, 1e-6)

    def flip_probability(self) -> Float[ndarray, "H W"] | None:
        """The chance that the noise of Eq. 3 puts the second class of a pixel ahead of its first, in 0..0.5.

        Phi(-1 / r) with r of `relative_noise`, at the size of the image; 0 at labelled pixels. It orders pixels as r
        does, but is 0 to the last bit for small r.
        """
        relative = self.relative_noise()
        return None if relative is None else np.asarray(ndtr(-1 / np.maximum(relative.astype(np.float64), 1e-12)))

    def _scores(self, top: int = 0, bottom: int | None = None) -> Float[ndarray, "M n W"]:
        """Logits at the size of the image, of the rows from `top` to `bottom`, that one not included."""
        bottom = self.truth.size[0] if bottom is None else bottom
        scores = resize_rows(self.logits, self.truth.size, top, bottom)
        if self.borders is not None:
            rows, columns = self.borders.pixels.T
            inside = (rows >= top) & (rows < bottom)
            scores[:, rows[inside] - top, columns[inside]] = self.borders.logits[inside].T
        return scores

    def _highest(self, size: tuple[int, int], classes: slice | Integer[ndarray, "k"]) -> LabelImage:
        """The place, among some classes, of that with the highest logit, at each pixel of a size."""
        labels = labels_of(self.logits[classes], size)
        if self.borders is not None:
            beside = np.full(self.truth.size, IGNORE, np.uint8)
            rows, columns = self.borders.pixels.T
            beside[rows, columns] = self.borders.logits[:, classes].argmax(1)
            beside = _nearest(beside, size)
            labels = np.where(beside == IGNORE, labels, beside)
        return labels

    def _logits_at(self, truth: Truth) -> Float[ndarray, "n M"]:
        """Logits at the pixels of a truth's entries."""
        logits = logits_at(self.logits, truth.pixels, self.truth.size)
        if self.borders is not None and len(self.borders.pixels):
            known = self.borders.pixels @ [self.truth.size[1], 1]
            place = np.searchsorted(known, truth.flat).clip(max=len(known) - 1)
            beside = known[place] == truth.flat
            logits[beside] = self.borders.logits[place[beside]]
        return logits


def masked_softmax(scores: Float[ndarray, "M H W"], truth: Truth) -> Float[ndarray, "M H W"]:
    """Probabilities of the classes that a truth leaves to each pixel."""
    return softmax(possible(scores, truth), 0)


def possible(scores: Float[ndarray, "M H W"], truth: Truth) -> Float[ndarray, "M H W"]:
    """Scores of the classes that a truth leaves to each pixel, minus infinity for the others."""
    impossible = truth.excluded()
    impossible &= ~impossible.all(0)
    other = np.arange(len(scores))[:, None, None] != truth.labels
    return np.where(np.where(truth.labels >= 0, other, impossible), -np.inf, scores)


def exhaustive_labels(truth: Truth) -> UInt8[ndarray, "H W"]:
    """1 + the class of each pixel that is labelled as an exhaustive class, 0 elsewhere."""
    labels = truth.labels
    return np.where((labels >= 0) & truth.exhaustive[labels], labels + 1, 0).astype(np.uint8)


def _nearest(labels: LabelImage, size: tuple[int, int]) -> UInt8[ndarray, "_ _"]:
    """Labels at another size, from the nearest pixel."""
    rows, columns = (nearest(*sides) for sides in zip(size, labels.shape, strict=True))
    return labels[rows[:, None], columns]


def entropy(probabilities: Float[ndarray, "M H W"]) -> Float[ndarray, "H W"]:
    """Entropy of class probabilities, in nats."""
    return -(probabilities * np.log(np.maximum(probabilities, 1e-30))).sum(0)
