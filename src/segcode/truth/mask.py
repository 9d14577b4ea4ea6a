"""Truth from masks: one class, soft or exhaustive, or a label image that is known in places."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from segcode.errors import TruthError
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.truth import Extent, Truth


def mask_truth(
    mask: Bool[ndarray, "H W"] | Float[ndarray, "H W"], class_index: int, classes: int, extent: Extent = "part"
) -> Truth:
    """The masked pixels are of one class.

    Args:
        mask: True, or the probability 0..1 of the class, which becomes the weight of the pixel.
        class_index: 0..M-1.
        classes: M.
        extent: "part" says nothing of other pixels; "outline": the region ends where the mask ends; "exhaustive": the
            mask shows every pixel of the class. In an exhaustive mask, a pixel of probability p counts with weight p
            as the class and 1 - p as not the class: a binary cross-entropy with a soft target.

    Raises:
        TruthError: for values outside 0..1 or a class that the model lacks.
    """
    _check_class(class_index, classes)
    probability = np.asarray(mask, np.float64)
    outside = probability[~((probability >= 0) & (probability <= 1))]
    if len(outside):
        raise TruthError(f"a mask holds {outside[0]:g}: give booleans, or probabilities in 0..1")
    pixels = np.argwhere(probability > 0)
    weight = probability[pixels[:, 0], pixels[:, 1]]
    is_class = np.arange(classes) == class_index
    allowed = np.broadcast_to(is_class, (len(pixels), classes))
    if extent == "exhaustive" and (unsure := weight < 1).any():
        pixels = np.concatenate([pixels, pixels[unsure]])
        allowed = np.concatenate([allowed, np.broadcast_to(~is_class, (unsure.sum(), classes))])
        weight = np.concatenate([weight, 1 - weight[unsure]])
    exhaustive = is_class if extent == "exhaustive" else np.zeros(classes, bool)
    regions = None if extent == "part" else (probability > 0.5).astype(np.int32)
    return Truth((probability.shape[0], probability.shape[1]), pixels, allowed, weight, exhaustive, regions)


def label_truth(
    labels: LabelImage,
    classes: int,
    exhaustive: Bool[ndarray, "M"] | None = None,
    regions: Integer[ndarray, "H W"] | None = None,
) -> Truth:
    """Every pixel of a label image (H, W) that is not IGNORE has the class that stands there.

    Args:
        labels: 0..M-1, or IGNORE.
        classes: M.
        exhaustive: classes that are excluded elsewhere; none by default.
        regions: the number of the outlined region that a pixel lies in, 0 outside; None without outlines.

    Raises:
        TruthError: for a label that is neither 0..M-1 nor IGNORE.
    """
    pixels = np.argwhere(labels != IGNORE)
    known = labels[pixels[:, 0], pixels[:, 1]].astype(int)
    if len(known):
        _check_class(int(known.max()), classes)
    size = labels.shape[0], labels.shape[1]
    exhaustive = np.zeros(classes, bool) if exhaustive is None else exhaustive
    return Truth(size, pixels, np.eye(classes, dtype=bool)[known], np.ones(len(pixels)), exhaustive, regions)


def partial_truth(labels: LabelImage, classes: int, extents: Mapping[int, Extent]) -> Truth:
    """A label image (H, W) that is known in places, with the extent of some of its classes."""
    regions = (mask_truth(labels == index, index, classes, extent) for index, extent in extents.items())
    return reduce(add, regions, label_truth(labels, classes))


def _check_class(class_index: int, classes: int) -> None:
    if not 0 <= class_index < classes:
        raise TruthError(f"class {class_index} is not one of the model's {classes}: give 0 to {classes - 1}")
