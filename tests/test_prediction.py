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


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_arrays_tensors_and_lists_of_any_precision_become_logits(dtype, kind):
    logits = np.arange(24).reshape(2, 3, 4).astype(dtype)
    predicted = predict(kind(logits))
    assert predicted.base_logits.dtype == torch.float32
    assert np.array_equal(predicted.base_logits.numpy(), logits)
    assert (predicted.code, predicted.features, predicted.b) == (None, None, None)


def test_no_gradient_is_kept():
    assert not predict(torch.zeros(2, 3, 4, requires_grad=True)).base_logits.requires_grad


def test_a_prediction_is_passed_on():
    prediction = InitialPrediction(torch.zeros(2, 3, 4), features=(torch.zeros(5, 6, 7),))
    passed = predict(prediction)
    assert passed.features is prediction.features
    assert torch.equal(passed.base_logits, prediction.base_logits)


def test_integers_are_no_logits():
    for labels in (np.zeros((2, 3, 4), int), torch.zeros(2, 3, 4, dtype=torch.bool)):
        with pytest.raises(DataError, match="floating-point numbers; label maps are given as labels:DIR"):
            predict(labels)


def test_a_function_that_asks_for_it_gets_the_name_of_the_image():
    def named(image, name):
        return np.full((2, 3, 4), len(name), np.float32)

    assert CallableSegmenter(named).predict(IMAGE, "left/1").base_logits.unique().tolist() == [6]


def test_a_dict_of_torchvision_is_its_out():
    assert torch.equal(
        predict({"out": torch.full((1, 2, 3, 4), 7.0), "aux": 0}).base_logits, torch.full((2, 3, 4), 7.0)
    )


def test_logits_that_are_not_finite_are_refused_with_a_cure():
    for value in (np.nan, np.inf, -np.inf):
        logits = np.zeros((2, 3, 4), np.float32)
        logits[1, 2, 3] = value
        with pytest.raises(DataError, match="NaN or infinite numbers: give finite logits"):
            predict(logits)


@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4), (2, 0, 4), (2, 2, 3, 4), (1, 1, 3, 4), ()])
def test_an_output_of_another_shape_is_refused_with_its_shape(shape):
    with pytest.raises(DataError, match="give classes x rows x columns, 2 classes or more"):
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
