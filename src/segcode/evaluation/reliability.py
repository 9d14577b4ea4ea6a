"""How far predicted probabilities can be believed: calibration error and proper scores, in sums that add up."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from jaxtyping import Float, Integer, Shaped
from numpy import ndarray

BINS: Final = 15
"""Of equal width, over the top probability (Guo et al. 2017)."""


@dataclass(frozen=True)
class Scores:
    """Of one kind of prediction; None where no pixel was judged.

    Attributes:
        accuracy: share of the pixels whose most likely class is right, 0..1.
        ece: expected calibration error, 0..1.
        nll: negative log-likelihood, nats a pixel.
        brier: Brier score, summed over classes, 0..2.
        bin_share: the share of the pixels in each bin of the top probability.
        bin_confidence: its mean there; None for an empty bin.
        bin_accuracy: the share of right pixels there; likewise.
    """

    accuracy: float | None
    ece: float | None
    nll: float | None
    brier: float | None
    bin_share: tuple[float | None, ...]
    bin_confidence: tuple[float | None, ...]
    bin_accuracy: tuple[float | None, ...]


@dataclass(frozen=True)
class Reliability:
    """Sums over pixels from which the scores follow; `a + b` is of the pixels of both.

    Attributes:
        pixels: by bin of the top probability, (BINS,).
        confidence: the sum of the top probability by bin.
        right: pixels whose most likely class is the true one, by bin.
        nll: summed over all pixels, in nats.
        brier: summed over all pixels.
    """

    pixels: Float[ndarray, "bins"]
    confidence: Float[ndarray, "bins"]
    right: Float[ndarray, "bins"]
    nll: float
    brier: float

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def scores(self) -> Scores:
        """ECE = sum over bins of (pixels / all) |accuracy - confidence| (Naeini et al. 2015, Guo et al. 2017)."""
        total = float(self.pixels.sum())
        return Scores(
            ratio(float(self.right.sum()), total),
            ratio(float(np.abs(self.right - self.confidence).sum()), total),
            ratio(self.nll, total),
            ratio(self.brier, total),
            tuple(ratio(n, total) for n in self.pixels.tolist()),
            tuple(map(ratio, self.confidence.tolist(), self.pixels.tolist())),
            tuple(map(ratio, self.right.tolist(), self.pixels.tolist())),
        )


def reliability(probabilities: Float[ndarray, "M n"], labels: Integer[ndarray, "n"]) -> Reliability:
    """The sums of n pixels.

    NLL is -log p_y; a p_y of 0 counts as the least float32 (87 nats). The Brier score (1950) is
    sum_c (p_c - [c = y])^2 = sum_c p_c^2 - 2 p_y + 1.

    Args:
        probabilities: of each class, adding up to 1 in each pixel.
        labels: the true classes y, 0..M-1.
    """
    top = probabilities.max(0, initial=0)
    cell = np.minimum((top * BINS).astype(int), BINS - 1)
    right = probabilities.argmax(0) == labels
    of_truth = np.take_along_axis(probabilities, labels[None].astype(int), 0)[0].astype(float)
    squares = np.einsum("cn,cn->n", probabilities, probabilities)

    def by_bin(values: Shaped[ndarray, "n"]) -> Float[ndarray, "bins"]:
        return np.bincount(cell, values, BINS).astype(float)  # of no pixels NumPy returns integers

    return Reliability(
        by_bin(np.ones_like(top)),
        by_bin(top),
        by_bin(right),
        float(-np.log(of_truth.clip(np.finfo(np.float32).tiny)).sum()),
        float((squares - 2 * of_truth + 1).sum()),
    )


def ratio(part: int | float, whole: int | float) -> float | None:
    """None instead of a division by zero, for JSON has no NaN."""
    return part / whole if whole else None
