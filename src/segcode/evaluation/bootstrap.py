"""Whether a difference would be there on other images, too: the paired bootstrap (Efron and Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import bootstrap

from segcode.metrics import ConfusionMatrix

RESAMPLES = 2000


class Interval(NamedTuple):
    """A figure and its 95 % interval; not a number where images leave it undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """In per cent."""
        return f"{100 * self.value:+.2f} [{100 * self.low:+.2f}, {100 * self.high:+.2f}]"


class Counts(NamedTuple):
    """Of each image: the pixels that two methods got right, and all pixels."""

    before: Float[ndarray, "images"]
    after: Float[ndarray, "images"]
    pixels: Float[ndarray, "images"]


def paired(before: Sequence[ConfusionMatrix], after: Sequence[ConfusionMatrix]) -> Counts:
    """Counts of two methods on the same pixels of the same images."""
    right = [np.array([float(matrix.diag().sum()) for matrix in method]) for method in (before, after)]
    return Counts(right[0], right[1], np.array([float(matrix.sum()) for matrix in before]))


def accuracy_gained(counts: Counts) -> Interval:
    """By how much the pixel accuracy over all images rises, -1..1."""
    return _interval(counts, lambda before, after, pixels: (after - before) / pixels)


def error_removed(counts: Counts) -> Interval:
    """The share of the first method's error that the second removes: 1 - (1 - after) / (1 - before)."""
    return _interval(counts, lambda before, after, pixels: (after - before) / (pixels - before))


def _interval(counts: Counts, figure: Callable[[Any, Any, Any], Any]) -> Interval:
    """The figure of the summed counts, and the percentile interval over images drawn with replacement."""

    def of_images(before: ndarray, after: ndarray, pixels: ndarray, axis: int = -1) -> Any:
        with np.errstate(invalid="ignore", divide="ignore"):
            return figure(before.sum(axis), after.sum(axis), pixels.sum(axis))

    value = float(of_images(*counts))
    if len(counts.pixels) < 2:
        return Interval(value, float("nan"), float("nan"))
    found = bootstrap(
        counts, of_images, paired=True, vectorized=True, n_resamples=RESAMPLES, method="percentile", rng=0
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high))
