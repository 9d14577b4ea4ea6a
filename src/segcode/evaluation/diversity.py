"""What sampled maps differ in, and whether they differ where the map is wrong; in sums that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.evaluation.reliability import ratio
from segcode.metrics import confusion_matrix


@dataclass(frozen=True)
class Swap:
    """Two classes that samples exchange.

    Attributes:
        classes: their names; either may be the map's.
        share: of all pixels on which a sample differs from the map, 0..1.
    """

    classes: tuple[str, str]
    share: float


@dataclass(frozen=True)
class SampleScores:
    """Of K sampled maps an image against the one map; shares 0..1, None where undefined.

    Attributes:
        disagreement: the share of pixels on which two samples differ, over all pairs of samples.
        accuracy: of the map.
        mean_accuracy: of a sample.
        best_accuracy: of each image's best sample: an oracle picks it.
        coverage: the share of the map's wrong pixels whose true class at least one sample predicts.
        wrong_varied: the share of the map's wrong pixels on which at least one sample differs from the map.
        right_varied: the same share of the map's right pixels. The spread covers the error as far as this is lower.
        swaps: the pairs of classes that are swapped most often, most first.
    """

    disagreement: float | None
    accuracy: float | None
    mean_accuracy: float | None
    best_accuracy: float | None
    coverage: float | None
    wrong_varied: float | None
    right_varied: float | None
    swaps: tuple[Swap, ...]


@dataclass(frozen=True)
class Diversity:
    """Sums over pixels; `a + b` is of the pixels of both.

    Attributes:
        pixels: how many.
        differ: pixels on which two samples differ, the mean over all pairs of samples.
        right: pixels right in the map.
        mean_right: right in a sample, the mean over samples.
        best_right: right in the best sample of each image.
        wrong_covered: wrong in the map and right in a sample.
        wrong_varied: wrong in the map, and a sample differs from it.
        right_varied: right in the map, and a sample differs from it.
        swaps: pixels by the map's class (row) and a sample's class (column), over all samples.
    """

    pixels: int
    differ: float
    right: int
    mean_right: float
    best_right: int
    wrong_covered: int
    wrong_varied: int
    right_varied: int
    swaps: Integer[ndarray, "M M"]

    def __add__(self, other: Diversity) -> Diversity:
        return Diversity(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def scores(self, classes: ClassSet, pairs: int = 5) -> SampleScores:
        """The shares, and the `pairs` pairs of classes that are swapped most often."""
        wrong = self.pixels - self.right
        return SampleScores(
            ratio(self.differ, self.pixels),
            ratio(self.right, self.pixels),
            ratio(self.mean_right, self.pixels),
            ratio(self.best_right, self.pixels),
            ratio(self.wrong_covered, wrong),
            ratio(self.wrong_varied, wrong),
            ratio(self.right_varied, self.right),
            self._swaps(classes, pairs),
        )

    def _swaps(self, classes: ClassSet, pairs: int) -> tuple[Swap, ...]:
        either = np.triu(self.swaps + self.swaps.T, 1)
        most = np.argsort(-either, axis=None, kind="stable")[:pairs]
        first, second = np.unravel_index(most, either.shape)
        return tuple(
            Swap((classes.names[a], classes.names[b]), float(either[a, b] / either.sum()))
            for a, b in zip(first.tolist(), second.tolist(), strict=True)
            if either[a, b]
        )


def diversity(
    samples: Sequence[Integer[ndarray, "n"]],
    prediction: Integer[ndarray, "n"],
    labels: Integer[ndarray, "n"],
    classes: int,
) -> Diversity:
    """The sums of n pixels of one image: at least two samples, the map, and the true classes 0..M-1."""
    right = prediction == labels
    hits = [_count(sample == labels) for sample in samples]
    differ = [_count(a != b) for a, b in combinations(samples, 2)]
    covered = np.any([sample == labels for sample in samples], axis=0)
    varied = np.any([sample != prediction for sample in samples], axis=0)
    seen = torch.from_numpy(prediction)
    swaps = torch.stack([confusion_matrix(torch.from_numpy(sample), seen, classes) for sample in samples]).sum(0)
    return Diversity(
        len(labels),
        differ=float(np.mean(differ)),
        right=_count(right),
        mean_right=float(np.mean(hits)),
        best_right=max(hits),
        wrong_covered=_count(covered & ~right),
        wrong_varied=_count(varied & ~right),
        right_varied=_count(varied & right),
        swaps=swaps.numpy(),
    )


def _count(mask: Bool[ndarray, "n"]) -> int:
    return int(mask.sum())
