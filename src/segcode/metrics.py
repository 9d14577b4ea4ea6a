"""One confusion matrix for a data set, and the scores that follow from it."""

from __future__ import annotations

from math import isnan

import torch
from jaxtyping import Float, Integer, Num
from torch import Tensor

from segcode.tensors import IGNORE

ConfusionMatrix = Integer[Tensor, "M M"]
"""Pixels by true class (row) and predicted class (column)."""
Matrices = Num[Tensor, "*R M M"]
"""A confusion matrix, or several, each by itself."""


def confusion_matrix(
    prediction: Integer[Tensor, "..."], labels: Integer[Tensor, "..."], classes: int
) -> ConfusionMatrix:
    """Count the known pixels of one or many label maps of equal shape; sum the matrices of several images."""
    known = labels != IGNORE
    cell = labels[known].long() * classes + prediction[known].long()
    return torch.bincount(cell, minlength=classes**2).view(classes, classes)


def pixel_accuracy(matrices: Matrices) -> Float[Tensor, "*R"]:
    """Share of the known pixels whose class is right, 0..1; NaN for no pixel."""
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1) / matrices.sum((-2, -1))


def iou(matrices: Matrices) -> Float[Tensor, "*R M"]:
    """Intersection over union of each class, 0..1; NaN for a class that is neither true nor predicted anywhere."""
    hits = matrices.diagonal(dim1=-2, dim2=-1).double()
    return hits / (matrices.sum(-2) + matrices.sum(-1) - hits)


def cohens_kappa(matrices: Matrices) -> Float[Tensor, "*R"]:
    """Agreement beyond chance (Cohen 1960): 1 for equal maps, 0 as by chance; NaN for one class alone."""
    counts = matrices.double()
    chance = (counts.sum(-2) * counts.sum(-1)).sum(-1) / counts.sum((-2, -1)) ** 2
    return (pixel_accuracy(counts) - chance) / (1 - chance)


def defined(score: float | Tensor) -> float | None:
    """A number; None for NaN, which JSON has not."""
    return None if isnan(score) else float(score)


def mean_iou(matrices: Matrices, without: int | None = None) -> Float[Tensor, "*R"]:
    """Mean over the classes that occur, one of them left out if asked for, 0..1."""
    scores = iou(matrices)
    if without is not None:
        scores[..., without] = torch.nan
    return scores.nanmean(-1)
