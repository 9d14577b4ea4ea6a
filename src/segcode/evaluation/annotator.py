"""A simulated annotator, who clicks where the map is most wrong.

The rule is that of the interactive methods, RITM (Sofiiuk et al. 2021) and f-BRS (Sofiiuk et al. 2020), for many
classes: in the middle of the largest wrong region.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from numpy import ndarray
from scipy import ndimage

from segcode.evaluation.images import LabelledImage
from segcode.refinement.refiner import Refiner
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth


class Click(NamedTuple):
    """A pixel and its true class."""

    row: int
    column: int
    class_index: int


def next_click(
    prediction: LabelImage, labels: LabelImage, draw: np.random.Generator, jitter: float = 0.0
) -> Click | None:
    """In the middle of the largest wrong region, or near it; None where every known pixel is right.

    A click that misses its region labels the class that it hits. A click outside the image, or on a void pixel, moves
    to the nearest pixel of known class.

    Args:
        prediction: the map (H, W).
        labels: true classes (H, W), IGNORE where unknown.
        draw: of the jitter; nothing is drawn from it where there is no click.
        jitter: standard deviation in pixels, of rows and of columns.
    """
    region = largest_error(prediction, labels)
    if region is None:
        return None
    hit = np.rint(middle(region) + draw.normal(0.0, jitter, 2)).astype(int)
    row, column = _nearest_known(labels, np.clip(hit, 0, np.array(labels.shape) - 1))
    return Click(row, column, int(labels[row, column]))


def error_sizes(prediction: LabelImage, labels: LabelImage) -> Integer[ndarray, "regions"]:
    """Pixels of every connected wrong region of one true class, the largest first."""
    areas = [np.bincount(regions.ravel())[1:] for regions in _wrong_regions(prediction, labels)]
    return -np.sort(-np.concatenate([np.zeros(0, int), *areas]))


def largest_error(prediction: LabelImage, labels: LabelImage) -> Bool[ndarray, "H W"] | None:
    """The largest connected region (4 neighbours) of wrong pixels of one true class; None where nothing is wrong.

    Of regions of one size it is the first, by class and then from the top.
    """
    largest, area = None, 0
    for regions in _wrong_regions(prediction, labels):
        areas = np.bincount(regions.ravel())[1:]
        if areas.max() > area:
            area = areas.max()
            largest = regions == areas.argmax() + 1
    return largest


def _wrong_regions(prediction: LabelImage, labels: LabelImage) -> Iterator[Integer[ndarray, "H W"]]:
    """The connected wrong regions of each true class, numbered from 1."""
    wrong = np.where(prediction == labels, IGNORE, labels)  # void stays IGNORE in both
    for class_index in np.unique(wrong[wrong != IGNORE]):
        yield ndimage.label(wrong == class_index)[0]


def middle(region: Bool[ndarray, "H W"]) -> tuple[int, int]:
    """Row and column of a pixel of the region that is farthest from all others; beyond the image are others."""
    (box,) = ndimage.find_objects(region.astype(np.uint8))
    depth = ndimage.distance_transform_edt(np.pad(region[box], 1))
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return box[0].start + int(row) - 1, box[1].start + int(column) - 1


def disk_truth(click: Click, labels: LabelImage, radius: float, classes: int) -> Truth:
    """The pixels of the class of a click that lie within `radius` pixels of it are labelled."""
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    disk = (rows - click.row) ** 2 + (columns - click.column) ** 2 <= radius**2
    return mask_truth(disk & (labels == click.class_index), click.class_index, classes)


def clicked(
    refiner: Refiner, image: LabelledImage, clicks: int, radius: float, jitter: float = 0.0, seed: int = 0
) -> Truth:
    """The truth of some clicks, each on the errors that segcode leaves after those before."""
    refiner.reset()
    prediction, truth = image.initial.labels, image.initial.truth
    for number in range(1, clicks + 1):
        click = next_click(prediction, image.labels, image.draw(seed, number), jitter)
        if click is None:
            break
        truth = truth + disk_truth(click, image.labels, radius, len(image.classes))
        prediction = refiner.refine(truth).labels
    return truth


def _nearest_known(labels: LabelImage, pixel: ndarray) -> tuple[int, int]:
    row, column = map(int, pixel)
    if labels[row, column] != IGNORE:
        return row, column
    known = np.argwhere(labels != IGNORE)
    row, column = known[((known - pixel) ** 2).sum(1).argmin()].tolist()
    return row, column
