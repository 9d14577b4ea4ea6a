from __future__ import annotations

import numpy as np
import pytest
import torch

from segcode.errors import DataError
from segcode.prediction import CallableSegmenter, CodePath, InitialPrediction, Segmenter

IMAGE = np.zeros((6, 9, 3), np.uint8)


def predict(output) -> InitialPrediction:
    return CallableSegmenter(lambda image: output).predict(IMAGE)


def test_the_function_sees_the_image_as_it_is_and_cannot_change_it_for_others():
    seen = []

    def function(image):
        seen.append(image.copy())
        image += 7
        return np.zeros((2, 1, 1), np.float32)

    image = IMAGE.copy()
    CallableSegmenter(function).predict(image)
    assert np.array_equal(seen[0], IMAGE)
    assert np.array_equal(image, IMAGE)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), SystemExit(0), OSError("no such file")])
def test_a_function_that_fails_on_an_image_is_the_problem_of_that_image_with_its_place(error):
    def function(image):
        raise error

    with pytest.raises(DataError, match=rf"fails on an image \({type(error).__name__}: .*test_prediction\.py line"):
        CallableSegmenter(function).predict(IMAGE)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_arrays_tensors_and_lists_of_any_precision_become_logits(dtype, kind):
    logits = np.arange(24).reshape(2, 3, 4).astype(dtype)
    predicted = predict(kind(logits))
    assert predicted.base_logits.dtype == np.float32
    assert np.array_equal(predicted.base_logits, logits)
    assert (predicted.code, predicted.features, predicted.b) == (None, None, None)


def test_tensors_with_a_gradient_or_in_bfloat16_are_arrays():
    for tensor in (torch.zeros(2, 3, 4, requires_grad=True), torch.zeros(2, 3, 4, dtype=torch.bfloat16)):
        assert np.array_equal(predict(tensor).base_logits, np.zeros((2, 3, 4), np.float32))


def test_a_prediction_is_passed_on():
    prediction = InitialPrediction(np.zeros((2, 3, 4), np.float32), features=(np.zeros((5, 6, 7)),))
    passed = predict(prediction)
    assert passed.features is prediction.features
    assert np.array_equal(passed.base_logits, prediction.base_logits)


def test_integers_are_no_logits():
    for labels in (np.zeros((2, 3, 4), int), torch.zeros(2, 3, 4, dtype=torch.bool)):
        with pytest.raises(DataError, match="floating-point numbers; label maps are given as labels:DIR"):
            predict(labels)


def test_a_function_that_asks_for_it_gets_the_name_of_the_image():
    def named(image, name):
        return np.full((2, 3, 4), len(name), np.float32)

    assert CallableSegmenter(named).predict(IMAGE, "left/1").base_logits[0, 0, 0] == 6


def test_a_dict_of_torchvision_is_its_out():
    found = predict({"out": torch.full((1, 2, 3, 4), 7.0), "aux": 0})
    assert np.array_equal(found.base_logits, np.full((2, 3, 4), 7))


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
    assert isinstance(tiny_model, Segmenter)
    assert isinstance(CallableSegmenter(lambda image: image), Segmenter)
    prediction = tiny_model.predict(IMAGE)
    assert isinstance(prediction.code, CodePath)
    zero = np.zeros((1, prediction.code.code_size))
    assert not prediction.code.added(zero).any()
    assert prediction.code.added(zero)[0].shape == prediction.base_logits.shape
