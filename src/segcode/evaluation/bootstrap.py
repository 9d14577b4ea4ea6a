"""Whether a difference would be there on other images, too: the paired bootstrap (Efron and Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.errors import ConfigError
from segcode.metrics import ConfusionMatrix, Matrices, mean_iou, pixel_accuracy

RESAMPLES = 2000


class Interval(NamedTuple):
    """A figure and its 95 % interval; not a number where images leave it undefined, or are too few."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """In per cent."""
        if isnan(self.value):
            return "-"
        bounds = "" if isnan(self.low) else f" [{100 * self.low:+.2f}, {100 * self.high:+.2f}]"
        return f"{100 * self.value:+.2f}{bounds}"


class Paired(NamedTuple):
    """Two methods on the same pixels of the same images, and how much alike neighbouring images are.

    Attributes:
        before: a confusion matrix of each image.
        after: those of the other method.
        block: neighbouring images that are drawn together. 1 takes them for independent, which the frames
            of a video are not: then give as many frames as err alike (the circular block bootstrap, Politis and Romano
            1992).
    """

    before: Sequence[ConfusionMatrix]
    after: Sequence[ConfusionMatrix]
    block: int = 1


def check_block(block: int, images: int) -> None:
    """Raises ConfigError if images have no two blocks: a draw of one would be all of them."""
    if block < 1 or (block > 1 and 2 * block > images):
        most = max(1, images // 2)
        raise ConfigError(
            f"a block is {block}, and there are {images} images: give 1 to {most}, for two blocks at least"
        )


def accuracy_gained(paired: Paired) -> Interval:
    """By how much the pixel accuracy over all images rises, -1..1."""
    return _interval(paired, lambda before, after: pixel_accuracy(after) - pixel_accuracy(before))


def error_removed(paired: Paired) -> Interval:
    """The share of the first method's error that the second removes: 1 - (1 - after) / (1 - before)."""

    def removed(before: Matrices, after: Matrices) -> Float[Tensor, "*R"]:
        left = 1 - pixel_accuracy(before)
        return 1 - (1 - pixel_accuracy(after)) / left.where(left > 0, torch.nan)

    return _interval(paired, removed)


def mean_iou_gained(paired: Paired) -> Interval:
    """By how much the mean IoU over all images rises, -1..1."""
    return _interval(paired, lambda before, after: mean_iou(after) - mean_iou(before))


def _interval(paired: Paired, figure: Callable[[Matrices, Matrices], Float[Tensor, "*R"]]) -> Interval:
    """The figure of all images, and the percentile interval over images drawn with replacement."""
    before, after = (torch.stack(list(matrices)).double() for matrices in paired[:2])
    value = float(figure(before.sum(0, keepdim=True), after.sum(0, keepdim=True)))
    if len(before) < 2 * paired.block:
        return Interval(value, float("nan"), float("nan"))
    times = _times_drawn(len(before), paired.block)
    drawn = figure(*(torch.einsum("ri,ijk->rjk", times, matrices) for matrices in (before, after)))
    return Interval(value, *drawn.nanquantile(torch.tensor([0.025, 0.975]).to(drawn)).tolist())


def _times_drawn(images: int, block: int) -> Float[Tensor, "R images"]:
    """How often each of some images is drawn, again and again: blocks with any beginning, round the end of the list."""
    beginnings = torch.randint(images, (RESAMPLES, -(-images // block), 1), generator=torch.Generator().manual_seed(0))
    drawn = ((beginnings + torch.arange(block)) % images).flatten(1)[:, :images]
    return torch.zeros(RESAMPLES, images).double().scatter_add_(1, drawn, torch.ones(drawn.shape).double())
