"""An image under work: from what a person painted to maps, samples and places to look at. No web in here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from numpy import ndarray
from scipy.ndimage import label as connected

from segcode.data.resize import resize_image, resize_labels
from segcode.errors import DataError
from segcode.export.runs import encode_runs
from segcode.model.segcode import SegCode
from segcode.refinement.config import RefinementConfig
from segcode.refinement.places import Place, places_to_look
from segcode.refinement.refiner import Refiner
from segcode.server.marks import Mark, Painting, Region, Start
from segcode.tensors import IGNORE, Image, LabelImage

WORKING_PIXELS: Final = 1_000_000
"""A larger photograph is worked on as a smaller copy: the network sees no more of it anyway, and marks have no size."""

SAMPLES: Final = 8
_THUMBNAIL: Final = 200
_SURE: Final = math.log(6)  # nats that are shown as wholly unsure


class Shown(NamedTuple):
    """A map of the working copy, the truth standing in it, and how it came about.

    Attributes:
        labels: class indices (h, w).
        painted: what the marks say, IGNORE where nothing.
        whole: classes that are nowhere else.
        milliseconds: by stage.
        status: how the solver ended, in a word or two.
        solver: what it says of itself.
    """

    labels: LabelImage
    painted: LabelImage
    whole: frozenset[int]
    milliseconds: dict[str, float]
    status: str
    solver: str


@dataclass(frozen=True)
class Samples:
    """Maps that might be as well, small, and the codes that lead to them."""

    pictures: list[LabelImage]
    codes: list[tuple[float, ...]]


class Session:
    """One image, linearised; every call takes the marks that count, and works only on what changed since the last."""

    def __init__(self, model: SegCode, image: Image, device: str) -> None:
        """Set an image of any size."""
        self.size = image.shape[0], image.shape[1]
        self.scale = min(1.0, math.sqrt(WORKING_PIXELS / math.prod(self.size)))
        self.working = max(1, round(self.size[0] * self.scale)), max(1, round(self.size[1] * self.scale))
        # Whoever paints tells parts, and says so where a class is told as a whole.
        self._refiner = Refiner(model, RefinementConfig(infer_whole=False), device)
        self._classes = model.config.classes
        start = perf_counter()
        small = image if self.scale == 1 else resize_image(image, *self.working)
        self._map = self._refiner.set_image(small)
        self.first = self._map.labels
        opening = 1000 * (perf_counter() - start)
        self._shows: tuple[list[Mark], list[Mark]] | None = [], []
        self._kept: list[Mark] = []
        self._base = self._painting = Painting.blank(self.working)
        self._start: tuple[float, ...] | None = None
        self._shown = Shown(
            self.first, self._painting.labels, self._painting.whole, {"set image": opening}, "first prediction", ""
        )

    @property
    def memory(self) -> int:
        """Bytes, beside the model."""
        paintings = (self._base, self._painting)
        maps = (self.first, self._map.labels, self._shown.labels, *(m for p in paintings for m in (p.labels, p.since)))
        return self._refiner.memory + self._map.logits.nbytes + sum({id(one): one.nbytes for one in maps}.values())

    def show(self, marks: list[Mark], drafts: Sequence[Mark] = ()) -> Shown:
        """The map that follows from these marks, and from some that are still being drawn."""
        asked = list(marks), list(drafts)
        if asked == self._shows:
            return self._shown
        self._shows = None  # what fails on the way has not been shown
        began = perf_counter()
        self._painting = self._painted(marks).with_marks(drafts, self.scale)
        painted = perf_counter()
        self._refine(settle=not drafts)
        refined = perf_counter()
        labels = self._pasted(self._map.labels, self._painting)
        solution = self._map.solution
        self._shown = Shown(
            labels,
            self._painting.labels,
            self._painting.whole,
            {"paint": 1000 * (painted - began), "refine": 1000 * (refined - painted)},
            "first prediction" if solution is None else solution.status.name.lower().replace("_", " "),
            "still being drawn" if drafts else str(solution or ""),
        )
        self._shows = asked
        return self._shown

    def uncertainty(self, marks: list[Mark], drafts: Sequence[Mark] = ()) -> UInt8[ndarray, "h w"]:
        """The entropy of the class probabilities, 0 where sure, 255 where six classes or more are as likely."""
        self.show(marks, drafts)
        doubt = np.where(self._painting.labels != IGNORE, 0.0, self._map.entropy())
        return np.round(255 * np.clip(doubt / _SURE, 0, 1)).astype(np.uint8)

    def sample(self, marks: list[Mark], seed: int) -> Samples:
        """Eight maps that the marks leave open."""
        self.show(marks)
        drawn = self._refiner.sample(SAMPLES, seed)
        scale = min(1.0, _THUMBNAIL / max(self.working))
        size = max(1, round(self.working[0] * scale)), max(1, round(self.working[1] * scale))
        pictures = [resize_labels(self._pasted(one.labels, self._painting), *size) for one in drawn]
        return Samples(pictures, [tuple(one.code.tolist()) for one in drawn])

    def look(self, marks: list[Mark]) -> list[Place]:
        """Where to paint next, in pixels of the image."""
        self.show(marks)
        places = places_to_look(self._refiner.predictive(), self._painting.labels != IGNORE)
        return [_scaled(place, 1 / self.scale) for place in places]

    def region(self, marks: list[Mark], x: float, y: float, label: int | None, mark: str) -> Region:
        """The connected region of one class around a pixel of the image, as being of a class, or of the one it has."""
        labels = self.show(marks).labels
        row, column = math.floor(y * self.scale), math.floor(x * self.scale)
        if not (0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]):
            raise DataError(f"x {x:g}, y {y:g} is outside the image of {self.size[1]} x {self.size[0]}")
        regions, _ = connected(labels == labels[row, column])
        own = int(labels[row, column])
        return self._region(regions == regions[row, column], own if label is None else label, mark)

    def accept(self, marks: list[Mark], label: int, mark: str) -> Region:
        """All of a class as the map has it."""
        return self._region(self.show(marks).labels == label, label, mark, whole=True)

    def final(self, marks: list[Mark]) -> LabelImage:
        """The labels at the size of the image, the marks drawn at that size."""
        self.show(marks)
        if self.scale == 1:
            return self._shown.labels
        painting = self.painting(marks)
        return self._pasted(self._map.labels_at(self.size), painting)

    def painting(self, marks: list[Mark]) -> Painting:
        """What the marks say at the size of the image."""
        return Painting.blank(self.size).with_marks(marks)

    def _painted(self, marks: list[Mark]) -> Painting:
        """Marks that only add to those of the last call are painted over what is there."""
        known = len(self._kept)
        if marks[:known] == self._kept:
            self._base = self._base.with_marks(marks[known:], self.scale)
        else:
            self._base = Painting.blank(self.working).with_marks(marks, self.scale)
        self._kept = list(marks)
        return self._base

    def _refine(self, settle: bool) -> None:
        now = self._painting
        if now.code != self._start:
            if now.code is None:
                self._refiner.reset()
            else:
                self._refiner.start_from(torch.tensor(now.code))
            self._start = now.code
        truth = now.truth(self._classes)
        self._map = self._refiner.refine(truth) if settle else self._refiner.follow(truth)

    def _pasted(self, labels: LabelImage, painting: Painting) -> LabelImage:
        known = painting.labels != IGNORE
        return np.where(known, painting.labels, labels)

    def _region(self, mask: Bool[ndarray, "h w"], label: int, mark: str, whole: bool = False) -> Region:
        return Region(id=mark, label=label, size=self.working, runs=tuple(encode_runs(mask)), whole=whole)


def _scaled(place: Place, by: float) -> Place:
    row, column, height, width = (round(by * side) for side in place[:4])
    return Place(row, column, height, width, place.promise)


def start_mark(samples: Samples, index: int, mark: str) -> Start:
    """Take one of the samples for the first prediction. Raises DataError if there is no such sample."""
    if not 0 <= index < len(samples.codes):
        raise DataError(f"there is no sample {index}: choose 0 to {len(samples.codes) - 1}")
    return Start(id=mark, code=samples.codes[index])
