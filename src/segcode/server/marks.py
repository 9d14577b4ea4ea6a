"""What a person does to an image, as marks that can be kept, undone and drawn again at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal, TypeAlias
from uuid import uuid4

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, model_validator

from segcode.data.resize import resize_labels
from segcode.export.runs import decode_runs
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.mask import label_truth, mask_truth
from segcode.truth.scribble import brush_mask, polygon_mask
from segcode.truth.truth import Truth

Point: TypeAlias = tuple[Annotated[FiniteFloat, Field(ge=-1e5, le=1e5)], Annotated[FiniteFloat, Field(ge=-1e5, le=1e5)]]
"""x to the right and y down, in pixels of the image from its top left corner."""

Points: TypeAlias = Annotated[tuple[Point, ...], Field(min_length=1, max_length=20_000)]
Label: TypeAlias = Annotated[int, Field(ge=0, lt=IGNORE)]
Side: TypeAlias = Annotated[int, Field(ge=1, le=100_000)]

WIDEST: Final = 1e3
"""The largest radius of a new brush: twenty thousand points of it take a second to draw on the working copy."""

REGION_PIXELS: Final = 100_000_000
"""At most so many in the grid of a region: a line of a few bytes must not take the whole memory."""


class Mark(BaseModel):
    """The id tells a mark that was sent twice from two alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = Field(default_factory=lambda: str(uuid4()))


class Brush(Mark):
    """A round brush along a line says what its pixels are; without a class it rubs out what was said.

    Radius in pixels of the image.
    """

    kind: Literal["brush"] = "brush"
    label: Label | None
    radius: Annotated[FiniteFloat, Field(ge=0, le=1e4)]
    points: Points


class Polygon(Mark):
    """All pixels inside a closed polygon are of a class; or what was said of them is rubbed out."""

    kind: Literal["polygon"] = "polygon"
    label: Label | None
    points: Points


class Region(Mark):
    """All pixels of a mask are of a class, given as COCO run lengths on a grid of (rows, columns) over the image.

    If it shows the `whole` class, then none is elsewhere.
    """

    kind: Literal["region"] = "region"
    label: Label
    size: tuple[Side, Side]
    runs: tuple[Annotated[int, Field(ge=0)], ...]
    whole: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Region:
        rows, columns = self.size
        if rows * columns > REGION_PIXELS:
            raise ValueError(f"a region of {rows} x {columns} pixels is too large: give it on a coarser grid")
        if sum(self.runs) != rows * columns:
            raise ValueError(f"the runs add up to {sum(self.runs)} pixels, not to {rows} x {columns}: give them all")
        return self


class Start(Mark):
    """The map of this code is the first prediction from now on."""

    kind: Literal["start"] = "start"
    code: tuple[Annotated[FiniteFloat, Field(ge=-1e3, le=1e3)], ...]


class Reset(Mark):
    """All that was said before is forgotten; undo brings it back."""

    kind: Literal["reset"] = "reset"


AnyMark: TypeAlias = Annotated[Brush | Polygon | Region | Start | Reset, Field(discriminator="kind")]
MARK: TypeAdapter[Brush | Polygon | Region | Start | Reset] = TypeAdapter(AnyMark)


@dataclass(frozen=True)
class Painting:
    """What all marks together say.

    Args:
        labels: the class that each pixel was said to be of, (H, W), IGNORE where nothing was.
        since: the same, but only since `code` was started from: its map was drawn with what had been said before.
        whole: classes that are nowhere else.
        code: whose map is the first prediction; None for zero code.
    """

    labels: LabelImage
    since: LabelImage
    whole: frozenset[int] = field(default_factory=frozenset)
    code: tuple[float, ...] | None = None

    @staticmethod
    def blank(size: tuple[int, int]) -> Painting:
        """Nothing was said of an image of (rows, columns)."""
        nothing = np.full(size, IGNORE, np.uint8)
        return Painting(nothing, nothing)

    def with_mark(self, mark: Mark, scale: float = 1.0) -> Painting:
        """What is said once a mark is added.

        Args:
            mark: later ones win.
            scale: of the painting by that of the image.
        """
        size = self.labels.shape[0], self.labels.shape[1]
        match mark:
            case Reset():
                return Painting.blank(size)
            case Start(code=code):
                return replace(self, since=Painting.blank(size).labels, code=code)
            case Brush(label=label, radius=radius, points=points):
                mask = brush_mask([_centred(point, scale) for point in points], size, radius * scale)
            case Polygon(label=label, points=points):
                mask = polygon_mask([_centred(point, scale) for point in points], size)
            case Region(label=label, size=grid, runs=runs):
                mask = resize_labels(decode_runs(runs, grid).astype(np.uint8), *size).astype(bool)
            case _:
                raise TypeError(f"{mark} is no mark")
        labels, since = self.labels.copy(), self.since.copy()
        # What is rubbed out of a class may be of it again, so that class is no longer known as a whole.
        whole = self.whole if label is not None else self.whole - frozenset(np.unique(labels[mask]).tolist())
        labels[mask] = since[mask] = IGNORE if label is None else label
        if isinstance(mark, Region) and mark.whole:
            whole |= {mark.label}
        return replace(self, labels=labels, since=since, whole=whole)

    def with_marks(self, marks: Sequence[Mark], scale: float = 1.0) -> Painting:
        """What is said once some marks are added."""
        painting = self
        for mark in marks:
            painting = painting.with_mark(mark, scale)
        return painting

    def truth(self, classes: int) -> Truth:
        """As the refinement takes it."""
        truth = label_truth(self.since, classes)
        for index in self.whole:
            truth = mask_truth(self.labels == index, index, classes, complete=True) + truth
        return truth


def _centred(point: Point, scale: float) -> tuple[float, float]:
    """Row and column as Pillow draws: whole numbers are centres of pixels."""
    return point[1] * scale - 0.5, point[0] * scale - 0.5
