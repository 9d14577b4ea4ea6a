"""Whether a score of doubt finds the wrong pixels: ROC and precision-recall from one histogram a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from segcode.evaluation.reliability import ratio

BINS: Final = 2000
DECADES: Final = (-7.0, 3.0)
"""Bins are equal in the logarithm of the score, 1.2 % wide; what lies outside falls into the first or last."""

Histogram = Integer[ndarray, "2 bins"]
"""Right (first row) and wrong pixels by score, ascending; sum those of several images."""


@dataclass(frozen=True)
class Detection:
    """How well a score tells wrong pixels (the positives) from right ones; None where all are right or all wrong.

    Attributes:
        auroc: the chance that a wrong pixel scores higher than a right one, 0..1; 0.5 is no better than a guess.
        aupr: average precision, 0..1; a guess has the share of wrong pixels.
        pavpu: accuracy of "certain, if and only if right" (Mukhoti and Gal 2018), 0..1.
        roc: the share of wrong pixels above a threshold that 0, 1, ..., 100 % of the right pixels pass.
    """

    auroc: float | None
    aupr: float | None
    pavpu: float | None
    roc: tuple[float, ...]


def score_histogram(score: Float[ndarray, "n"], wrong: Bool[ndarray, "n"]) -> Histogram:
    """Count pixels by score, at least 0, and by whether they are wrong."""
    low, high = DECADES
    logarithm = np.log10(score.clip(10**low, 10**high))
    cell = ((logarithm - low) * (BINS / (high - low))).astype(int).clip(0, BINS - 1)
    return np.bincount(wrong * BINS + cell, minlength=2 * BINS).reshape(2, BINS)


def detection(histogram: Histogram) -> Detection:
    """All scores of one histogram."""
    return Detection(auroc(histogram), average_precision(histogram), pavpu(histogram), roc(histogram))


def auroc(histogram: Histogram) -> float | None:
    """P(a wrong pixel's score > a right one's) + 1/2 P(both fall into one bin): Mann and Whitney's U / (n_r n_w).

    Of exact scores it is off by at most half the share of the pairs in one bin.
    """
    right, wrong = histogram.astype(float)
    below = right.cumsum() - right
    return ratio(float((wrong * (below + right / 2)).sum()), float(right.sum() * wrong.sum()))


def average_precision(histogram: Histogram) -> float | None:
    """The area under precision-recall as a sum of steps, sum_t (R_t - R_{t-1}) P_t; the bins are the thresholds."""
    false, true = _flagged(histogram)
    if not false[-1] * true[-1]:
        return None
    precision = true[1:] / np.maximum(false[1:] + true[1:], 1)
    return float((np.diff(true) * precision).sum() / true[-1])


def pavpu(histogram: Histogram) -> float | None:
    """(right and certain + wrong and uncertain) / all, with a patch of one pixel (Mukhoti and Gal 2018).

    Where they sweep the threshold, here as many pixels are uncertain as are wrong: 1 if they are the same.
    """
    false, true = _flagged(histogram)
    right, wrong = float(false[-1]), float(true[-1])
    if not right * wrong:
        return None
    found = float(np.interp(wrong, false + true, true))
    return (right - (wrong - found) + found) / (right + wrong)


def roc(histogram: Histogram) -> tuple[float, ...]:
    """The share of wrong pixels above the threshold that 0, 1, ..., 100 % of the right ones pass; () if undefined."""
    false, true = _flagged(histogram)
    if not false[-1] * true[-1]:
        return ()
    return tuple(np.interp(np.linspace(0, 1, 101), false / false[-1], true / true[-1]).tolist())


def _flagged(histogram: Histogram) -> Float[ndarray, "2 thresholds"]:
    """Right and wrong pixels whose score is at least a threshold, from none flagged to all."""
    return np.pad(histogram[:, ::-1].astype(float), ((0, 0), (1, 0))).cumsum(1)
