"""One confusion matrix for a data set, and the scores that follow from it."""

from __future__ import annotations

from math import isnan

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from segcode.tensors import IGNORE

ConfusionMatrix = Integer[Tensor, "M M"]
"""Pixels by true class (row) and predicted class (column)."""


def confusion_matrix(
    prediction: Integer[Tensor, "..."], labels: Integer[Tensor, "..."], classes: int
) -> ConfusionMatrix:
    """Count the known pixels of one or many label maps of equal shape; sum the matrices of several images."""
    known = labels != IGNORE
    cell = labels[known].long() * classes + prediction[known].long()
    return torch.bincount(cell, minlength=classes**2).view(classes, classes)


def pixel_accuracy(matrix: ConfusionMatrix) -> float:
    """Share of the known pixels whose class is right, 0..1; NaN for no pixel."""
    return float(matrix.diag().sum() / matrix.sum())


def iou(matrix: ConfusionMatrix) -> Float[Tensor, "M"]:
    """Intersection over union of each class, 0..1; NaN for a class that is neither true nor predicted anywhere."""
    hits = matrix.diag().double()
    return hits / (matrix.sum(0) + matrix.sum(1) - matrix.diag())


def defined(score: float) -> float | None:
    """None for NaN, which JSON has not."""
    return None if isnan(score) else score


def mean_iou(matrix: ConfusionMatrix, without: int | None = None) -> float:
    """Mean over the classes that occur, one of them left out if asked for, 0..1."""
    scores = iou(matrix)
    if without is not None:
        scores[without] = torch.nan
    return float(scores.nanmean())
