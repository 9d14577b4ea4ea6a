"""Truth from masks: one class, soft or complete, or a label image that is known in places."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from segcode.errors import TruthError
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.truth import Truth


def mask_truth(
    mask: Bool[ndarray, "H W"] | Float[ndarray, "H W"], class_index: int, classes: int, complete: bool = False
) -> Truth:
    """The masked pixels are of one class.

    Args:
        mask: True, or the probability 0..1 of the class, which becomes the weight of the pixel.
        class_index: 0..M-1.
        classes: M.
        complete: the mask shows the whole class, so the rest is not of that class. A pixel of probability p then
            counts with weight p as the class and 1 - p as not the class: a binary cross-entropy with a soft target.

    Raises:
        TruthError: for values outside 0..1 or a class that the model lacks.
    """
    _check_class(class_index, classes)
    probability = torch.from_numpy(np.asarray(mask, np.float32))
    outside = probability[~((probability >= 0) & (probability <= 1))]
    if len(outside):
        raise TruthError(f"a mask holds {float(outside[0]):g}: give booleans, or probabilities in 0..1")
    is_class = torch.arange(classes) == class_index
    truth = _weighted(probability, is_class)
    return truth.beside(_weighted(1 - probability, ~is_class)) if complete else truth


def label_truth(labels: LabelImage, classes: int) -> Truth:
    """Every pixel of a label image (H, W) that is not IGNORE has the class that stands there.

    Raises:
        TruthError: for a label that is neither 0..M-1 nor IGNORE.
    """
    image = torch.from_numpy(labels)
    pixels = (image != IGNORE).nonzero()
    known = image[pixels[:, 0], pixels[:, 1]].long()
    if len(known):
        _check_class(int(known.max()), classes)
    allowed = known[:, None] == torch.arange(classes)
    return Truth((labels.shape[0], labels.shape[1]), pixels, allowed, torch.ones(len(pixels)))


def _weighted(weight: Float[Tensor, "H W"], allowed: Bool[Tensor, "M"]) -> Truth:
    pixels = (weight > 0).nonzero()
    values = weight[pixels[:, 0], pixels[:, 1]]
    return Truth((weight.shape[0], weight.shape[1]), pixels, allowed.expand(len(pixels), -1), values)


def _check_class(class_index: int, classes: int) -> None:
    if not 0 <= class_index < classes:
        raise TruthError(f"class {class_index} is not one of the model's {classes}: give 0 to {classes - 1}")
