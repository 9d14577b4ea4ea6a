"""Marks of a person on an image, which can be kept, undone and drawn again at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Annotated, Final, Literal, TypeAlias
from uuid import uuid4

import numpy as np
from jaxtyping import Bool, Int32
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, FailFast, Field, FiniteFloat, model_validator

from segcode.data.resize import resize_labels
from segcode.export.runs import decode_runs
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.mask import label_truth
from segcode.truth.scribble import brush_mask, polygon_mask
from segcode.truth.truth import Extent, Truth

Point: TypeAlias = tuple[Annotated[FiniteFloat, Field(ge=-1e5, le=1e5)], Annotated[FiniteFloat, Field(ge=-1e5, le=1e5)]]
"""x to the right and y down, in pixels of the image from its top left corner."""

MarkId: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Points: TypeAlias = Annotated[tuple[Point, ...], Field(min_length=1, max_length=20_000), FailFast()]
Label: TypeAlias = Annotated[int, Field(ge=0, lt=IGNORE, strict=True)]
Painted: TypeAlias = Annotated[int, Field(ge=0, le=IGNORE, strict=True)]
"""A class, or IGNORE, which paints void: the pixel is of no class, and 255 in the map that is exported."""

Seed: TypeAlias = Annotated[int, Field(ge=0, le=2**31)]
Side: TypeAlias = Annotated[int, Field(ge=1, le=100_000)]

VOID: Final = IGNORE - 1
"""Void in a painting, where IGNORE is a pixel that nobody labelled; a model of 255 classes has none."""

WIDEST: Final = 1e3
"""The largest radius of a new brush: twenty thousand points of it take a second to draw on the working copy."""

REGION_PIXELS: Final = 100_000_000
"""The largest grid of a region: a line of a few bytes must not take all memory."""

SAMPLES: Final = 8
"""Samples that are drawn at once; a start names one of them."""


class Sent(BaseModel):
    """A message of a page or a program; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mark(Sent):
    """`id` makes adding a mark idempotent."""

    id: MarkId = Field(default_factory=lambda: str(uuid4()))


class Brush(Mark):
    """A round brush along a line labels its pixels; without a class it erases labels.

    Attributes:
        radius: in pixels of the image.
        reach: pixels beyond the brush in which the map may change; None is the whole map.
    """

    kind: Literal["brush"] = "brush"
    label: Painted | None
    radius: Annotated[FiniteFloat, Field(ge=0, le=1e4)]
    points: Points
    extent: Extent = "part"
    reach: Annotated[FiniteFloat, Field(ge=0, le=1e4)] | None = None


class Polygon(Mark):
    """All pixels inside a closed polygon are of a class; without a class, labels inside it are erased."""

    kind: Literal["polygon"] = "polygon"
    label: Painted | None
    points: Points
    extent: Extent = "outline"


class Region(Mark):
    """All pixels of a mask are of a class, given as COCO run lengths on a grid of (rows, columns) over the image."""

    kind: Literal["region"] = "region"
    label: Painted
    size: tuple[Side, Side]
    runs: Annotated[tuple[Annotated[int, Field(ge=0)], ...], FailFast()]
    extent: Extent = "part"

    @model_validator(mode="after")
    def _fits(self) -> Region:
        rows, columns = self.size
        if rows * columns > REGION_PIXELS:
            raise ValueError(f"a region of {rows} x {columns} pixels is too large: give it on a coarser grid")
        if sum(self.runs) != rows * columns:
            raise ValueError(f"the runs add up to {sum(self.runs)} pixels, not to {rows} x {columns}: give them all")
        return self


class Start(Mark):
    """A sample becomes the initial prediction: of the samples that the marks before leave open, drawn with a seed."""

    kind: Literal["start"] = "start"
    seed: Seed
    index: Annotated[int, Field(ge=0, lt=SAMPLES)]


class Reset(Mark):
    """All marks before are forgotten; undo brings them back."""

    kind: Literal["reset"] = "reset"


AnyMark: TypeAlias = Annotated[Brush | Polygon | Region | Start | Reset, Field(discriminator="kind")]


def started(marks: Sequence[Mark]) -> list[Mark]:
    """The marks up to the last start that no reset follows; none without one."""
    for count in range(len(marks), 0, -1):
        if isinstance(marks[count - 1], Reset):
            break
        if isinstance(marks[count - 1], Start):
            return list(marks[:count])
    return []


def near(marks: Sequence[Mark], size: tuple[int, int], scale: float = 1.0) -> Bool[ndarray, "H W"] | None:
    """The pixels that brushes of limited reach may change; None if there is no such brush since the last start.

    Args:
        marks: on the image.
        size: rows and columns of the result.
        scale: of the result by that of the image.
    """
    mask = None
    for mark in marks:
        if isinstance(mark, Start | Reset):
            mask = None
        elif isinstance(mark, Brush) and mark.reach is not None:
            points = [_centred(point, scale) for point in mark.points]
            more = brush_mask(points, size, (mark.radius + mark.reach) * scale)
            mask = more if mask is None else mask | more
    return mask


def unlimited(marks: Sequence[Mark]) -> list[Mark]:
    """The marks without brushes of limited reach."""
    return [mark for mark in marks if not (isinstance(mark, Brush) and mark.reach is not None)]


@dataclass(frozen=True)
class Painting:
    """The labels that all marks together give.

    Attributes:
        labels: the class of each pixel, (H, W), VOID where it has none, IGNORE where nobody labelled it.
        since: the same, from marks since the last start alone: its sample was drawn with the labels before.
        exhaustive: classes that are excluded elsewhere.
        regions: the number of the outlined region that a pixel lies in, (H, W), 0 outside; None without outlines.
    """

    labels: LabelImage
    since: LabelImage
    exhaustive: frozenset[int] = frozenset()
    regions: Int32[ndarray, "H W"] | None = None

    @staticmethod
    def blank(size: tuple[int, int]) -> Painting:
        """No pixel of an image of (rows, columns) is labelled."""
        unknown = np.full(size, IGNORE, np.uint8)
        return Painting(unknown, unknown)

    def with_mark(self, mark: Mark, scale: float = 1.0) -> Painting:
        """The labels once a mark is added.

        Args:
            mark: later ones win.
            scale: of the painting by that of the image.
        """
        size = self.labels.shape[0], self.labels.shape[1]
        match mark:
            case Reset():
                return Painting.blank(size)
            case Start():
                return replace(self, since=Painting.blank(size).labels)
            case Brush(radius=radius, points=points):
                mask = brush_mask([_centred(point, scale) for point in points], size, radius * scale)
            case Polygon(points=points):
                mask = polygon_mask([_centred(point, scale) for point in points], size)
            case Region(size=grid, runs=runs):
                mask = resize_labels(decode_runs(runs, grid).astype(np.uint8), *size).astype(bool)
            case _:
                raise TypeError(f"{mark} is no mark")
        return self._with_mask(mask, mark.label, mark.extent)

    def _with_mask(self, mask: Bool[ndarray, "H W"], label: int | None, extent: Extent) -> Painting:
        labels, since = self.labels.copy(), self.since.copy()
        labels[mask] = since[mask] = {None: IGNORE, IGNORE: VOID}.get(label, label)
        if label is None:  # an erased pixel may be of its class again
            exhaustive = self.exhaustive - frozenset(np.unique(self.labels[mask]).tolist())
        else:
            exhaustive = self.exhaustive | ({label} if extent == "exhaustive" and label != IGNORE else set())
        outlined = label is not None and extent != "part"
        return Painting(labels, since, exhaustive, _outlined(self.regions, mask, outlined))

    def with_marks(self, marks: Sequence[Mark], scale: float = 1.0) -> Painting:
        """The labels once some marks are added."""
        return reduce(lambda painting, mark: painting.with_mark(mark, scale), marks, self)

    @property
    def known(self) -> LabelImage:
        """The class of each pixel, IGNORE where it is void or nobody labelled it."""
        return _without_void(self.labels)

    def truth(self, classes: int) -> Truth:
        """The labels since the last start, all those of exhaustive classes, and the outlines; void says nothing."""
        exhaustive = sorted(self.exhaustive)
        labels = np.where(np.isin(self.labels, exhaustive), self.labels, self.since) if exhaustive else self.since
        return label_truth(_without_void(labels), classes, np.isin(np.arange(classes), exhaustive), self.regions)

    def pasted(self, labels: LabelImage) -> LabelImage:
        """A map with these labels written into it, IGNORE where they are void."""
        return np.where(self.labels == IGNORE, labels, self.known)


def _without_void(labels: LabelImage) -> LabelImage:
    return np.where(labels == VOID, np.uint8(IGNORE), labels)


def _outlined(
    regions: Int32[ndarray, "H W"] | None, mask: Bool[ndarray, "H W"], outlined: bool
) -> Int32[ndarray, "H W"] | None:
    """The outlined regions once a mask is painted over them.

    An array that does not change stays the same object, so that a refinement keeps its factorisation.
    """
    if not outlined and (regions is None or not regions[mask].any()):
        return regions
    changed = np.zeros(mask.shape, np.int32) if regions is None else regions.copy()
    changed[mask] = changed.max() + 1 if outlined else 0
    return changed


def _centred(point: Point, scale: float) -> tuple[float, float]:
    """Row and column as Pillow draws: whole numbers are centres of pixels."""
    return point[1] * scale - 0.5, point[0] * scale - 0.5
