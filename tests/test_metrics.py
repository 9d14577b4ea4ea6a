from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

from segcode.metrics import confusion_matrix, iou, mean_iou, pixel_accuracy
from segcode.tensors import IGNORE


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_matrix_and_iou_agree_with_torchmetrics(seed, classes):
    torch.manual_seed(seed)
    labels, prediction = torch.randint(0, classes, (2, 3, 40, 50))
    labels[torch.rand(labels.shape) < 0.1] = IGNORE
    matrix = confusion_matrix(prediction, labels, classes)
    assert torch.equal(matrix, multiclass_confusion_matrix(prediction, labels, classes, ignore_index=IGNORE))
    reference = multiclass_jaccard_index(prediction, labels, classes, average=None, ignore_index=IGNORE)
    assert torch.allclose(iou(matrix).float(), reference)


def test_perfect_prediction_scores_one():
    matrix = confusion_matrix(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]), 3)
    assert pixel_accuracy(matrix) == mean_iou(matrix) == 1


def test_a_class_that_never_occurs_is_left_out_of_the_mean():
    matrix = confusion_matrix(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 3)
    assert math.isnan(iou(matrix)[2])
    assert mean_iou(matrix) == pytest.approx(0.5)
    assert mean_iou(matrix, without=0) == pytest.approx(0.5)


def test_no_pixel_has_no_accuracy():
    assert math.isnan(pixel_accuracy(torch.zeros(3, 3, dtype=torch.long)))
