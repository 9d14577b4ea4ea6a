"""Checks a segmenter on a few images for wrong channels, meaning of the numbers, and classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import softmax

from segcode.classes import ClassSet
from segcode.export.picture import heat, overlay
from segcode.export.sheet import Panel, Sheet, sheet
from segcode.interpolation import resize
from segcode.numbers import Found, Numbers
from segcode.segmenters.specification import OpenedSegmenter
from segcode.tensors import Image, LabelImage

_OPACITY: Final = 0.7
_CLEARLY: Final = 0.02
"""Rise of the mean probability of the best class, with red and blue exchanged, from which the order looks wrong."""
_FLAT: Final = 1.2
"""A best probability below this multiple of a guess is too low for a working segmenter."""


@dataclass(frozen=True)
class Checked:
    """The prediction of a segmenter for an image.

    Attributes:
        name: name of the image.
        image: pixels of the image.
        found: shape and range of the numbers.
        labels: the best class of each pixel.
        confidence: the probability of that class.
        shares: share of each class in the labels.
        exchanged: the mean of `confidence` with red and blue exchanged; None if the segmenter does not look at pixels.
    """

    name: str
    image: Image
    found: Found
    labels: LabelImage
    confidence: Float[ndarray, "H W"]
    shares: Float[ndarray, "M"]
    exchanged: float | None


def check(opened: OpenedSegmenter, image: Image, name: str) -> Checked:
    """Predict an image twice, once with red and blue exchanged.

    Raises:
        DataError: if the segmenter's output is wrong.
    """
    logits = opened.segmenter.predict(image, name).base_logits
    numbers = opened.numbers or Numbers(opened.classes.names, "logits")
    if numbers.found is None:
        numbers.logits(logits, "the prediction")
    found = numbers.found
    assert found is not None  # `logits` sets it or raises an error
    swapped = opened.segmenter.predict(np.ascontiguousarray(image[..., ::-1]), name).base_logits
    probabilities = _at_pixels(logits, image)
    confidence, labels = probabilities.max(0), probabilities.argmax(0)
    same = swapped.shape == logits.shape and bool((swapped == logits).all())
    return Checked(
        name,
        image,
        found,
        labels.astype(np.uint8),
        confidence,
        np.bincount(labels.ravel(), minlength=len(logits)) / labels.size,
        None if same else float(_at_pixels(swapped, image).max(0).mean()),
    )


def warnings_of(checked: Sequence[Checked]) -> list[str]:
    """A line for each thing that looks wrong, with its likely reason."""
    count = len(checked[0].shares)
    own = [float(one.confidence.mean()) for one in checked]
    found = []
    gains = [one.exchanged - mean for one, mean in zip(checked, own, strict=True) if one.exchanged is not None]
    if gains and min(gains) > 0 and np.mean(gains) > _CLEARLY:
        found.append(
            f"with red and blue exchanged the best class has {np.mean(own) + np.mean(gains):.1%} on average, in place "
            f"of {np.mean(own):.1%}: the network seems to be trained on the other order, RGB or BGR"
        )
    if math.isclose(min(one.found.lowest for one in checked), max(one.found.highest for one in checked)):
        found.append("all numbers are the same: the segmenter says nothing")
    elif np.mean(own) < _FLAT / count:
        found.append(
            f"the best class has {np.mean(own):.1%} on average, {1 / count:.1%} is a guess: probabilities may have "
            "been taken for logits, or logits divided by a large number"
        )
    largest = np.mean([one.shares for one in checked], axis=0)
    if largest.max() > 0.99:
        found.append(f"class {int(largest.argmax())} has {largest.max():.1%} of all pixels: check mean and deviation")
    if len(checked) > 1 and len({one.labels.tobytes() for one in checked}) == 1:
        found.append("the maps of all images are the same: the images may not reach the network")
    for one in checked:
        (height, width), (rows, columns) = one.image.shape[:2], one.found.shape[1:]
        if abs(math.log(height * columns / (width * rows))) > 0.1 + 1 / min(rows, columns):
            found.append(
                f"{one.name} is {height} x {width}, its map {rows} x {columns}: right if the image was squeezed to "
                "that, wrong if it was padded or cropped"
            )
            break
    return found


def check_sheet(checked: Sequence[Checked], classes: ClassSet) -> Sheet:
    """Each image beside its map and the probability of the best class; a legend with the names of the classes."""
    panels = []
    for one in checked:
        panels += [
            Panel(one.name[-25:], one.image),
            Panel("map", overlay(one.image, classes.colourise(one.labels), _OPACITY)),
            Panel(f"sure: {one.confidence.mean():.0%} on average", heat(one.confidence, 1.0)),
        ]
    shown = np.flatnonzero(np.sum([one.shares for one in checked], axis=0))
    return sheet(panels, 3, classes, shown.tolist())


def _at_pixels(logits: Float[ndarray, "M h w"], image: Image) -> Float[ndarray, "M H W"]:
    """Probabilities at the size of the image."""
    return softmax(resize(logits, (image.shape[0], image.shape[1])), 0)
