"""Partial truth: what is known of some pixels, and of where classes end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from segcode.errors import TruthError

Extent = Literal["part", "outline", "exhaustive"]
"""The meaning of labelled pixels for the pixels around them.

"part": nothing; a stroke or a click lies inside a region. "outline": the region ends where the pixels end, and the
class may be elsewhere, too; a polygon along an object. "exhaustive": every pixel of the class is among them, so the
class is excluded elsewhere; a mask of a class.
"""


@dataclass(frozen=True)
class Truth:
    """Labelled pixels: the classes that each may be of, and its weight; and where regions and classes end.

    One allowed class says "this pixel is road"; all but one say "this pixel is not road". Several entries may speak of
    one pixel. `a + b` combines two truths; where they contradict each other, b, the later one, holds.

    Args:
        size: rows and columns of the image.
        pixels: (n, 2) rows and columns.
        allowed: (n, M), at least one True in each row.
        weight: (n,), at least 0; 1 for certain, p for a probability.
        exhaustive: (M,), the classes that are excluded at pixels where no entry allows just that class.
        regions: (H, W), the number of the outlined region that a pixel lies in, 0 outside; None without outlines.

    Raises:
        TruthError: if shapes differ, a pixel lies outside the image, a weight is negative, or no class is allowed.
    """

    size: tuple[int, int]
    pixels: Integer[ndarray, "n 2"]
    allowed: Bool[ndarray, "n M"]
    weight: Float[ndarray, "n"]
    exhaustive: Bool[ndarray, "M"]
    regions: Integer[ndarray, "H W"] | None = None

    def __post_init__(self) -> None:
        if not len(self.pixels) == len(self.allowed) == len(self.weight):
            lengths = f"{len(self.pixels)} pixels, {len(self.allowed)} sets of classes, {len(self.weight)} weights"
            raise TruthError(f"{lengths}: give one of each for every entry")
        if len(self.pixels) and (self.pixels.min() < 0 or (self.pixels.max(0) >= self.size).any()):
            outside = ((self.pixels < 0) | (self.pixels >= np.array(self.size))).any(1)
            row, column = self.pixels[outside][0].tolist()
            raise TruthError(
                f"pixel (row {row}, column {column}) is outside the image of {self.size[0]} x {self.size[1]}"
            )
        if not (self.weight >= 0).all():
            raise TruthError(f"an entry of the truth weighs {self.weight.min():g}: give weights of at least 0")
        if not self.kinds[0].any(1).all():
            raise TruthError("an entry of the truth allows no class at all: drop it")
        if self.regions is not None and self.regions.shape != self.size:
            raise TruthError(f"the regions are {self.regions.shape}, the image is {self.size}: draw them on the image")

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def classes(self) -> int:
        """M."""
        return self.allowed.shape[1]

    @cached_property
    def kinds(self) -> tuple[Bool[ndarray, "k M"], Integer[ndarray, "n"]]:
        """The distinct sets of allowed classes, few whatever the number of entries, and the set of each entry."""
        kind = np.zeros(len(self), int)
        for byte in np.packbits(self.allowed, axis=1).T:
            kind = numbered(256 * kind + byte)[1]
        first = np.zeros(kind.max(initial=-1) + 1, int)
        first[kind] = np.arange(len(kind))
        return self.allowed[first], kind

    @staticmethod
    def empty(size: tuple[int, int], classes: int) -> Truth:
        """No pixel of an image of this size is labelled."""
        return Truth(size, np.zeros((0, 2), int), np.zeros((0, classes), bool), np.zeros(0), np.zeros(classes, bool))

    def __add__(self, later: Truth) -> Truth:
        """Both truths, without entries of this one that certain ones of the later contradict or make superfluous."""
        if self.size != later.size or self.classes != later.classes:
            raise TruthError(
                f"truth of {self.size} pixels and {self.classes} classes does not combine with truth of "
                f"{later.size} pixels and {later.classes} classes: make both for one image and model"
            )
        left = later.certain().allowed_at(self.flat)
        adds = (self.allowed & left).any(1) & (left & ~self.allowed).any(1)
        return Truth(
            self.size,
            np.concatenate([self.pixels[adds], later.pixels]),
            np.concatenate([self.allowed[adds], later.allowed]),
            np.concatenate([self.weight[adds], later.weight]),
            self.exhaustive | later.exhaustive,
            _joined(self.regions, later.regions),
        )

    def certain(self) -> Truth:
        """The entries that are more likely right than wrong: of weight over 1/2."""
        certain = self.weight > 0.5
        if certain.all():
            return self
        return replace(self, pixels=self.pixels[certain], allowed=self.allowed[certain], weight=self.weight[certain])

    @property
    def flat(self) -> Integer[ndarray, "n"]:
        """The pixels, counted row by row."""
        return self.pixels[:, 0] * self.size[1] + self.pixels[:, 1]

    def allowed_at(self, flat: Integer[ndarray, "m"]) -> Bool[ndarray, "m M"]:
        """The classes that all entries of a pixel allow; every class where none speaks of it."""
        left = np.ones((len(flat), self.classes), bool)
        if len(self) == 0:
            return left
        places, of_place = self._by_pixel()
        found = np.minimum(np.searchsorted(places, flat), len(places) - 1)
        known = places[found] == flat
        left[known] = of_place[found[known]]
        return left

    def _by_pixel(self) -> tuple[Integer[ndarray, "k"], Bool[ndarray, "k M"]]:
        """The labelled pixels, distinct and in rising order, and the classes that all entries of each allow."""
        flat, allowed = self.flat, self.allowed
        if (np.diff(flat) < 0).any():
            order = np.argsort(flat, kind="stable")
            flat, allowed = flat[order], allowed[order]
        first = np.flatnonzero(np.diff(flat, prepend=-1))
        if len(first) == len(flat):
            return flat, allowed
        return flat[first], np.logical_and.reduceat(allowed, first)

    @cached_property
    def labels(self) -> Integer[ndarray, "H W"]:
        """The class of each pixel that certain entries leave one class for, -1 elsewhere."""
        labels = np.full(self.size, -1, np.int16)
        certain = self.certain()
        if (np.diff(certain.flat) > 0).all():  # one entry a pixel
            sets, kind = certain.kinds
            labels.ravel()[certain.flat] = _only(sets)[kind]
        else:
            places, left = certain._by_pixel()
            labels.ravel()[places] = _only(left)
        return labels

    def rows(self, top: int, bottom: int) -> Truth:
        """The entries in rows `top` to `bottom`, the latter not included, as truth of these rows; without outlines."""
        inside = (self.pixels[:, 0] >= top) & (self.pixels[:, 0] < bottom)
        pixels = self.pixels[inside] - (top, 0)
        size = bottom - top, self.size[1]
        return Truth(size, pixels, self.allowed[inside], self.weight[inside], self.exhaustive)

    def undecided(self) -> Truth:
        """The certain entries at pixels whose class is not known."""
        certain = self.certain()
        left = ~self.known_mask[certain.pixels[:, 0], certain.pixels[:, 1]]
        return replace(certain, pixels=certain.pixels[left], allowed=certain.allowed[left], weight=certain.weight[left])

    @property
    def known_mask(self) -> Bool[ndarray, "H W"]:
        """The pixels whose class is known."""
        return self.labels >= 0

    def excluded(self) -> Bool[ndarray, "M H W"]:
        """The pixels at which each exhaustive class is excluded: all pixels that are not labelled as that class."""
        elsewhere = np.arange(self.classes)[:, None, None] != self.labels
        return self.exhaustive[:, None, None] & elsewhere

    def paste(self, labels: Integer[ndarray, "H W"], scores: Float[ndarray, "n M"]) -> Integer[ndarray, "H W"]:
        """A map with the truth written into it; of the initial prediction, this is the paper's "replaced".

        Args:
            labels: the map.
            scores: logits at the pixels of the certain entries. A pixel gets the best of the classes that these allow;
                it stays as it is if they contradict each other.
        """
        certain = self.certain()
        allowed = certain.allowed_at(certain.flat)
        best = np.where(allowed, scores, -np.inf).argmax(1)
        pasted = labels.copy()
        rows, columns = certain.pixels.T
        pasted[rows, columns] = np.where(allowed.any(1), best, pasted[rows, columns])
        return pasted


def numbered(keys: Integer[ndarray, "n"]) -> tuple[Integer[ndarray, "k"], Integer[ndarray, "n"]]:
    """The distinct keys, at least 0, in rising order, and the place of each key among them; without sorting."""
    present = np.zeros(keys.max(initial=-1) + 1, bool)
    present[keys] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[keys]


def _only(sets: Bool[ndarray, "k M"]) -> Integer[ndarray, "k"]:
    """The class of each set that has just one, -1 for others."""
    return np.where(np.count_nonzero(sets, axis=1) == 1, sets.argmax(1), -1).astype(np.int16)


def _joined(
    earlier: Integer[ndarray, "H W"] | None, later: Integer[ndarray, "H W"] | None
) -> Integer[ndarray, "H W"] | None:
    if earlier is None or later is None:
        return later if earlier is None else earlier
    return np.where(later > 0, later + earlier.max(), earlier)
