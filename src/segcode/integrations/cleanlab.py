"""Labels and probabilities as cleanlab takes them, to find wrong labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.errors import DataError
from segcode.evaluation.images import labelled_images
from segcode.refinement.refiner import Refiner
from segcode.sample import Source
from segcode.tensors import IGNORE


class LabelsAndProbabilities(NamedTuple):
    """The first two arguments of `cleanlab.segmentation.filter.find_label_issues`.

    Attributes:
        labels: classes 0..K-1, (N, H, W).
        pred_probs: of each class, (N, K, H, W).
    """

    labels: UInt8[ndarray, "N H W"]
    pred_probs: Float[ndarray, "N K H W"]


def label_arrays(refiner: Refiner, source: Source, classes: ClassSet) -> LabelsAndProbabilities:
    """The labels of a data set and the probabilities of a segmenter, which should not have seen it.

    cleanlab knows no void: there the label is the predicted class, which it takes for right. The probabilities take
    4 N K H W bytes; `segcode.data.select.select` chooses some of the images.

    Args:
        refiner: with the segmenter.
        source: images of one size with labels.
        classes: of the segmenter.

    Raises:
        DataError: if the source has other classes than the segmenter, a sample without labels, or images of two sizes.
    """
    arrays = None
    for place, one in enumerate(labelled_images(refiner, source, classes)):
        probabilities = one.initial.probabilities()
        if arrays is None:
            count = len(source)
            arrays = LabelsAndProbabilities(
                np.empty((count, *one.labels.shape), np.uint8), np.empty((count, *probabilities.shape), np.float32)
            )
        if one.labels.shape != arrays.labels.shape[1:]:
            size, first = (f"{rows} x {columns}" for rows, columns in (one.labels.shape, arrays.labels.shape[1:]))
            raise DataError(f"'{one.name}' is {size}, the first image {first}: cleanlab takes images of one size")
        arrays.pred_probs[place] = probabilities
        arrays.labels[place] = np.where(one.labels == IGNORE, probabilities.argmax(0), one.labels)
    if arrays is None:
        raise DataError("the source has no images: choose another split")
    return arrays
