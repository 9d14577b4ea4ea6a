"""An image in work: from marks to maps, samples and places to look at. No web in here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from scipy.ndimage import label as connected

from segcode.data.resize import resize_image, resize_labels
from segcode.errors import DataError
from segcode.export.runs import encode_runs
from segcode.field.constants import FieldConstants
from segcode.prediction import Segmenter
from segcode.refinement.places import Place
from segcode.refinement.refiner import Refiner
from segcode.refinement.result import SegmentationMap
from segcode.server.marks import SAMPLES, VOID, Mark, Painting, Region, Start, near, started, unlimited
from segcode.tensors import IGNORE, Image, LabelImage
from segcode.truth.truth import Extent

WORKING_PIXELS: Final = 1_000_000
"""A larger photograph is worked on as a smaller copy: the network sees no more of it anyway, and marks have no size."""

_THUMBNAIL: Final = 200
_UNSURE: Final = math.log(6)  # entropy in nats that is shown as the highest


class Shown(NamedTuple):
    """A map of the working copy with the labels written into it.

    Attributes:
        labels: class indices (h, w), IGNORE where void.
        painted: labelled pixels, VOID or IGNORE elsewhere.
        exhaustive: classes that are excluded elsewhere.
        milliseconds: by stage.
        status: whether it is final, in a word or two.
    """

    labels: LabelImage
    painted: LabelImage
    exhaustive: frozenset[int]
    milliseconds: dict[str, float]
    status: str


class Score(NamedTuple):
    """How much an image needs a person.

    Attributes:
        uncertainty: mean entropy of the pixels in nats; that of labelled ones is 0.
        expected_change: the share of the map that the best next label is expected to change.
    """

    uncertainty: float
    expected_change: float


class Session:
    """One image that is set; each call takes the marks that count, and computes only what changed since the last."""

    def __init__(
        self,
        segmenter: Segmenter | Callable[[Image], Any],
        image: Image,
        name: str | None = None,
        constants: FieldConstants | None = None,
    ) -> None:
        """Set an image (H, W, 3) of any size for a segmenter; all arguments are as `Refiner` takes them."""
        self.size = image.shape[0], image.shape[1]
        self.scale = min(1.0, math.sqrt(WORKING_PIXELS / math.prod(self.size)))
        self.working = max(1, round(self.size[0] * self.scale)), max(1, round(self.size[1] * self.scale))
        self._image = image
        self._refiner = Refiner(segmenter, constants)
        start = perf_counter()
        small = image if self.scale == 1 else resize_image(image, *self.working)
        self._map = self._refiner.set_image(small, name)
        self.classes = self._map.truth.classes
        self.first = self._map.labels
        self._initial = self._map
        opening = 1000 * (perf_counter() - start)
        self._shows: tuple[list[Mark], list[Mark]] | None = [], []
        self._kept: list[Mark] = []
        self._refined: list[Mark] | None = None
        self._base = self._painting = Painting.blank(self.working)
        self._started: tuple[list[Mark], SegmentationMap | None] = [], None
        self._beyond: tuple[list[Mark], SegmentationMap] | None = None
        self._near: Bool[ndarray, "h w"] | None = None
        self._shown = Shown(
            self.first, self._painting.labels, frozenset(), {"set image": opening}, "initial prediction"
        )

    @property
    def memory(self) -> int:
        """Bytes, beside the model."""
        truth, start = self._map.truth, self._started[1]
        arrays: list[ndarray] = [
            self._image,
            self.first,
            self._shown.labels,
            truth.pixels,
            truth.allowed,
            truth.weight,
        ]
        for painting in (self._base, self._painting):
            arrays += [painting.labels, painting.since, *([] if painting.regions is None else [painting.regions])]
        added = None if self._beyond is None else self._beyond[1].layers.added
        arrays += [] if added is None else [added]  # to what the refiner has
        held = self._refiner.nbytes + (0 if start is None else start.layers.nbytes)
        return held + sum({id(one): int(one.nbytes) for one in arrays}.values())

    def show(self, marks: list[Mark], drafts: Sequence[Mark] = ()) -> Shown:
        """The map given these marks, and some that are still being drawn."""
        asked = list(marks), list(drafts)
        if asked == self._shows:
            return self._shown
        self._shows = None  # until it is computed
        began = perf_counter()
        self._painting = self._painted(marks).with_marks(drafts, self.scale)
        painted = perf_counter()
        self._start_from(started([*marks, *drafts]))
        self._refine_beyond([*marks, *drafts])
        refined = self._refined
        if not drafts or refined is None or marks[: len(refined)] != refined:  # a preview follows from later marks, too
            self._map = self._refine(marks)
        if drafts:
            self._map = self._refiner.preview(self._painting.truth(self.classes))
        solved = perf_counter()
        labels = self._painting.pasted(self._labels())
        times = {"paint": painted - began, "refine": solved - painted, "label": perf_counter() - solved}
        self._shown = Shown(
            labels,
            self._painting.labels,
            self._painting.exhaustive,
            {stage: 1000 * seconds for stage, seconds in times.items()},
            self._status(drafting=bool(drafts)),
        )
        self._shows = asked
        return self._shown

    def initial_uncertainty(self) -> UInt8[ndarray, "h w"]:
        """`uncertainty` of the initial prediction."""
        return _as_bytes(self._initial.entropy())

    def uncertainty(self, marks: list[Mark], drafts: Sequence[Mark] = ()) -> UInt8[ndarray, "h w"]:
        """The entropy of the class probabilities: 0 where sure, 255 where six classes or more are equally likely."""
        return _as_bytes(self._entropy(marks, drafts))

    def score(self, marks: list[Mark]) -> Score:
        """How much the image needs a person."""
        return Score(float(self._entropy(marks).mean()), self._refiner.expected_change())

    def changes(self, marks: list[Mark], mark: Mark) -> UInt8[ndarray, "h w"]:
        """Where the map would change if a mark were added, about (the closed form): 1 there, 0 elsewhere."""
        now = self.show(marks).labels
        self._shows = None
        painting = self._painted(marks).with_mark(mark, self.scale)
        then = painting.pasted(self._refiner.preview(painting.truth(self.classes)).beside_truth())
        reached = near([mark], self.working, self.scale)
        return ((then != now) & (True if reached is None else reached)).astype(np.uint8)

    def sample(self, marks: list[Mark], seed: int) -> list[LabelImage]:
        """Eight maps that the marks leave open, small. The marks and the seed alone determine them."""
        drawn = self._drawn(marks, seed)
        self._shows = None  # the map is that of an earlier solution
        scale = min(1.0, _THUMBNAIL / max(self.working))
        size = max(1, round(self.working[0] * scale)), max(1, round(self.working[1] * scale))
        painting = self._painted(marks)
        return [resize_labels(painting.pasted(one.beside_truth()), *size) for one in drawn]

    def look(self, marks: list[Mark]) -> list[Place]:
        """The places to label next, in pixels of the image."""
        self.show(marks)
        places = self._refiner.places_to_look()
        return [_scaled(place, 1 / self.scale) for place in places if not self._is_void(place)]

    def region(self, marks: list[Mark], x: float, y: float, label: int | None, mark: str) -> Region:
        """The connected region of the map around a pixel of the image, labelled as a class, or as the one it has."""
        labels = self.show(marks).labels
        row, column = math.floor(y * self.scale), math.floor(x * self.scale)
        if not (0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]):
            raise DataError(f"x {x:g}, y {y:g} is outside the image of {self.size[1]} x {self.size[0]}")
        regions, _ = connected(labels == labels[row, column])
        own = int(labels[row, column])
        return self._region(regions == regions[row, column], own if label is None else label, mark, "outline")

    def accept(self, marks: list[Mark], label: int, mark: str) -> Region:
        """All pixels of a class, as the map has them."""
        return self._region(self.show(marks).labels == label, label, mark, "exhaustive")

    def final(self, marks: list[Mark]) -> LabelImage:
        """The labels at the size of the image, the marks drawn at that size."""
        self.show(marks)
        if self.scale == 1:
            return self._shown.labels
        return self.painting(marks).pasted(self._labels(self._image, near(marks, self.size)))

    def painting(self, marks: list[Mark]) -> Painting:
        """The labels that the marks give at the size of the image."""
        return Painting.blank(self.size).with_marks(marks)

    def _entropy(self, marks: list[Mark], drafts: Sequence[Mark] = ()) -> Float[ndarray, "h w"]:
        self.show(marks, drafts)
        entropy = self._map.entropy()
        if self._near is not None and self._beyond is not None:
            entropy = np.where(self._near, entropy, self._beyond[1].entropy())
        return np.where(self._painting.labels != IGNORE, 0.0, entropy)

    def _is_void(self, place: Place) -> bool:
        middle = place.row + place.height // 2, place.column + place.width // 2
        return bool(self._painting.labels[middle] == VOID)

    def _labels(self, image: Image | None = None, reached: Bool[ndarray, "_ _"] | None = None) -> LabelImage:
        """The map that follows from all marks, where those of limited reach reach; elsewhere that of the others."""
        labels = self._map.beside_truth(image)
        reached = self._near if image is None else reached
        if reached is None or self._beyond is None:
            return labels
        return np.where(reached, labels, self._beyond[1].beside_truth(image))

    def _refine_beyond(self, marks: list[Mark]) -> None:
        """Keep the map that follows from the marks of unlimited reach, if there are others."""
        self._near = near(marks, self.working, self.scale)
        others = unlimited(marks)
        if self._near is None:
            self._beyond = None
        elif self._beyond is None or self._beyond[0] != others:
            self._refined = None
            truth = Painting.blank(self.working).with_marks(others, self.scale).truth(self.classes)
            self._beyond = others, self._refiner.refine(truth)

    def _painted(self, marks: list[Mark]) -> Painting:
        """Marks that only add to those of the last call are painted over its labels."""
        known = len(self._kept)
        if marks[:known] == self._kept:
            self._base = self._base.with_marks(marks[known:], self.scale)
        else:
            self._base = Painting.blank(self.working).with_marks(marks, self.scale)
        self._kept = list(marks)
        return self._base

    def _start_from(self, marks: list[Mark]) -> None:
        """Take the sample that the last of these marks, a start, names for the initial prediction; none without."""
        if marks == self._started[0]:
            return
        start = marks[-1] if marks else None
        sample = self._drawn(marks[:-1], start.seed)[start.index] if isinstance(start, Start) else None
        self._started = list(marks), sample
        self._refiner.reset()
        self._refined = self._beyond = None
        if self._started[1] is not None:
            self._refiner.start_from(self._started[1])

    def _drawn(self, marks: list[Mark], seed: int) -> list[SegmentationMap]:
        self._start_from(started(marks))
        if self._refined != marks:
            self._refine(marks)
        return self._refiner.sample(SAMPLES, seed)

    def _refine(self, marks: list[Mark]) -> SegmentationMap:
        self._refined = None
        refined = self._refiner.refine(self._painted(marks).truth(self.classes))
        self._refined = list(marks)
        return refined

    def _status(self, drafting: bool) -> str:
        if drafting:
            return "drawing"
        if self._map.status.labelled_cells == 0:
            return "sample" if self._started[1] is not None else "initial prediction"
        return "refined" if self._map.status.converged else "refined, coarsely"

    def _region(self, mask: Bool[ndarray, "h w"], label: int, mark: str, extent: Extent) -> Region:
        return Region(id=mark, label=label, size=self.working, runs=tuple(encode_runs(mask)), extent=extent)


def _as_bytes(entropy: Float[ndarray, "h w"]) -> UInt8[ndarray, "h w"]:
    return np.round(255 * np.clip(entropy / _UNSURE, 0, 1)).astype(np.uint8)


def _scaled(place: Place, by: float) -> Place:
    row, column, height, width = (round(by * side) for side in place[:4])
    return place._replace(row=row, column=column, height=height, width=width)
