from __future__ import annotations

import numpy as np
import pytest
import torch

from segcode.errors import DataError
from segcode.model.segmenter import SegCodeSegmenter
from segcode.prediction import CallableSegmenter, CodePath, InitialPrediction, Segmenter

IMAGE = np.zeros((6, 9, 3), np.uint8)


def predict(output) -> InitialPrediction:
    return CallableSegmenter(lambda image: output).predict(IMAGE)


def test_the_function_sees_the_image_as_it_is():
    seen = []
    CallableSegmenter(lambda image: seen.append(image) or np.zeros((2, 1, 1), np.float32)).predict(IMAGE)
    assert seen[0] is IMAGE


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_arrays_tensors_and_lists_of_any_number_become_logits(dtype, kind):
    logits = np.arange(24).reshape(2, 3, 4).astype(dtype)
    predicted = predict(kind(logits))
    assert predicted.base_logits.dtype == torch.float32
    assert np.array_equal(predicted.base_logits.numpy(), logits)
    assert (predicted.code, predicted.features, predicted.b) == (None, None, None)


def test_no_gradient_is_kept():
    assert not predict(torch.zeros(2, 3, 4, requires_grad=True)).base_logits.requires_grad


def test_a_prediction_is_passed_on():
    prediction = InitialPrediction(torch.zeros(2, 3, 4), features=(torch.zeros(5, 6, 7),))
    assert predict(prediction) is prediction


def test_logits_that_are_not_finite_are_refused_with_a_cure():
    for value in (np.nan, np.inf, -np.inf):
        logits = np.zeros((2, 3, 4), np.float32)
        logits[1, 2, 3] = value
        with pytest.raises(DataError, match="NaN or infinite logits: return finite"):
            predict(logits)


@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4), (2, 0, 4), (2, 2, 3, 4), (1, 1, 3, 4), ()])
def test_an_output_of_another_shape_is_refused_with_its_shape(shape):
    with pytest.raises(DataError, match="return logits of classes x rows x columns, 2 classes or more"):
        predict(np.zeros(shape, np.float32))


def test_a_segcode_model_is_a_segmenter_with_a_code_path(tiny_model):
    segmenter = SegCodeSegmenter(tiny_model)
    assert isinstance(segmenter, Segmenter)
    assert isinstance(CallableSegmenter(lambda image: image), Segmenter)
    prediction = segmenter.predict(IMAGE)
    assert isinstance(prediction.code, CodePath)
    zero = torch.zeros(1, prediction.code.code_size)
    assert not prediction.code.added(zero).any()
    assert prediction.code.added(zero)[0].shape == prediction.base_logits.shape
