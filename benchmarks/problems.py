"""The problems that are timed: a drawn street, a segmenter, and labels of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from segcode.data.resize import resize_labels
from segcode.model.checkpoint import load_model
from segcode.model.segcode import SegCode
from segcode.refinement.refiner import Refiner
from segcode.streets.streets import Streets
from segcode.tensors import IGNORE, Image, LabelImage
from segcode.truth.mask import label_truth, mask_truth
from segcode.truth.truth import Truth

CLICKS = 10
DRAWN = (360, 480)
"""Larger streets are drawn at this size and enlarged."""


@dataclass(frozen=True)
class Case:
    """A size of image, the classes, and milliseconds that may be spent on each stage.

    Attributes:
        segmenter: the name of a shipped model; None for random smooth logits.
        limits: by stage.
        stride: pixels along the side of a cell of these logits.
    """

    name: str
    size: tuple[int, int]
    classes: int
    segmenter: str | None
    limits: dict[str, float]
    stride: int = 4


SHIPPED = Case(
    "360 x 480, 11 classes, the shipped model `camvid`", (360, 480), 11, "camvid",
    {"set_image, without the segmenter": 80, "a click": 15, "mask of half the image": 80},
)  # fmt: skip
LARGE = Case(
    "1024 x 2048, 19 classes, a function that returns random smooth logits", (1024, 2048), 19, None,
    {"set_image, without the segmenter": 600, "a click": 80, "mask of half the image": 600},
)  # fmt: skip
ALL_PIXELS = Case(
    "1024 x 2048, 19 classes, logits of every pixel", (1024, 2048), 19, None,
    {"set_image, without the segmenter": 600, "preview of a stroke": 60, "peak memory, MB": 400}, stride=1,
)  # fmt: skip
PHOTOGRAPH = Case(
    "6000 x 8000, the shipped model `camvid`", (6000, 8000), 11, "camvid",
    {"a click": 1000, "preview of a stroke": 1000, "peak memory, MB": 2000},
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """An image, and labels of it.

    Attributes:
        clicks: truth after one click, after two, and so on to `CLICKS`.
        stroke: 500 pixels of one class.
        labels: true classes.
    """

    case: Case
    segmenter: SegCode | Callable[[Image], torch.Tensor]
    image: Image
    clicks: list[Truth]
    stroke: Truth
    labels: LabelImage

    @property
    def half(self) -> Truth:
        """Every pixel of the left half of the image."""
        columns = np.arange(self.case.size[1])
        half = np.where(columns < self.case.size[1] // 2, self.labels, IGNORE).astype(np.uint8)
        return label_truth(half, self.case.classes)

    def refiner(self) -> Refiner:
        """With the image set."""
        refiner = Refiner(self.segmenter)
        refiner.set_image(self.image)
        return refiner


def problem_of(case: Case) -> Problem:
    """A drawn street, enlarged to the case's size, and its labels."""
    street = Streets(1, seed=5, height=DRAWN[0], width=DRAWN[1])[0]
    repeats = -(-case.size[0] // DRAWN[0]), -(-case.size[1] // DRAWN[1])
    image = np.kron(street.image, np.ones((*repeats, 1), np.uint8))[: case.size[0], : case.size[1]]
    labels = resize_labels(street.labels, *case.size)
    segmenter = SmoothLogits(case) if case.segmenter is None else load_model(case.segmenter).model
    return Problem(
        case,
        segmenter,
        np.ascontiguousarray(image),
        clicks_on(labels, case.classes),
        stroke_on(labels, case.classes),
        labels,
    )


@dataclass(frozen=True)
class SmoothLogits:
    """A segmenter that costs nothing."""

    case: Case

    def __call__(self, image: Image) -> torch.Tensor:
        coarse = 4 * torch.randn(1, self.case.classes, 16, 32, generator=torch.Generator().manual_seed(0))
        return functional.interpolate(
            coarse, (image.shape[0] // self.case.stride, image.shape[1] // self.case.stride), mode="bilinear"
        )[0]


def clicks_on(labels: LabelImage, classes: int) -> list[Truth]:
    """Discs of five pixels across at random places, each time one more."""
    draw, known = np.random.default_rng(0), np.full(labels.shape, IGNORE, np.uint8)
    truths = []
    for _ in range(CLICKS):
        row, column = (int(draw.integers(3, side - 3)) for side in labels.shape)
        known[row - 2 : row + 3, column - 2 : column + 3] = labels[row, column]
        truths.append(label_truth(known, classes))
    return truths


def stroke_on(labels: LabelImage, classes: int) -> Truth:
    """Five rows of a hundred pixels in the middle of the image."""
    mask = np.zeros(labels.shape, bool)
    row, column = labels.shape[0] // 2, labels.shape[1] // 2
    mask[row - 2 : row + 3, column - 50 : column + 50] = True
    return mask_truth(mask, int(labels[row, column]), classes)
