from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from segcode.exposure import brightened
from segcode.model import jacobian as jacobian_module
from segcode.model import segcode as segcode_module
from segcode.model.label_encoder import known_labels
from tiny import TINY, TINY_CLIMBS, TINY_LITE, TINY_SEES_PREDICTION, make_model

CONFIGS = [
    replace(TINY, code_stride=2),
    TINY,
    replace(TINY, conditioning="concatenation"),
    TINY_LITE,
    TINY_SEES_PREDICTION,
    replace(TINY_SEES_PREDICTION, code_cells=TINY.size),
]


def linear(model, image, codes):
    """J c of each code, decoded as in training."""
    features = model.features(image)
    return model.decoder.linear(model.seen_by_code(model.decoder.base(features), features), codes)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("size", "kept"), [((32, 48), 2**22), ((29, 51), 2**22), ((29, 51), 0), ((29, 51), 2500)])
def test_jacobian_is_the_derivative_of_the_decoder(config, size, kept, monkeypatch):
    monkeypatch.setattr(jacobian_module, "NUMBERS", kept)
    model = make_model(config)
    image = torch.rand(1, 3, *size)
    linearisation = model.linearise(image)
    rows, columns = linearisation.size
    pixels = torch.cartesian_prod(torch.arange(0, rows, 5), torch.arange(0, columns, 7))
    exact = linear(model, image, torch.eye(config.code_size))[:, :, pixels[:, 0], pixels[:, 1]]
    jacobian = torch.from_numpy(linearisation.jacobian(pixels.numpy()))
    assert (jacobian - exact.permute(2, 1, 0)).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize("config", CONFIGS)
def test_what_codes_add_is_the_decoders(config):
    model = make_model(config)
    image = torch.rand(1, 3, *config.size)
    linearisation = model.linearise(image)
    codes = torch.randn(3, config.code_size)
    decoded = linear(model, image, codes)
    assert linearisation.size == decoded.shape[2:]
    assert (torch.from_numpy(linearisation.added(codes.numpy())) - decoded).norm() <= 1e-5 * decoded.norm()


def test_with_a_mirrored_view_of_the_same_size_a_mirror_image_has_the_mirrored_map():
    model = make_model(replace(TINY, mirrored_view=1.0))
    image = torch.rand(1, 3, *TINY.size)
    logits, mirrored = (model.linearise(each).base_logits for each in (image, image.flip(3)))
    assert torch.allclose(mirrored.flip(2), logits, atol=1e-5)
    alone = [make_model(TINY).linearise(each).base_logits.softmax(0) for each in (image, image.flip(3))]
    assert torch.allclose(logits.exp(), (alone[0] + alone[1].flip(2)) / 2, atol=1e-5)


def test_the_mirrored_view_may_be_of_another_scale():
    image = torch.rand(1, 3, *TINY.size)
    maps = [make_model(replace(TINY, mirrored_view=scale)).linearise(image) for scale in (0.5, 1.5)]
    assert maps[0].size == maps[1].size == TINY.size
    assert not torch.allclose(maps[0].base_logits, maps[1].base_logits, atol=1e-3)


def test_a_dark_image_is_brightened_in_both_views_and_a_bright_one_left_as_it_is():
    bright = torch.rand(1, 3, *TINY.size) * 0.5 + 0.5
    dark = bright**4
    plain, lit = (make_model(replace(TINY, mirrored_view=0.5, least_luma=each)) for each in (0.0, 0.4))
    assert torch.equal(lit.linearise(bright).base_logits, plain.linearise(bright).base_logits)
    luma = float((dark[0].mean((1, 2)) * torch.tensor([0.299, 0.587, 0.114])).sum())
    by_hand = dark ** (math.log(0.4) / math.log(luma))
    view = segcode_module._mirrored_view(dark, 0.5)
    found = plain.linearise(by_hand, brightened(view, 0.4)).base_logits
    assert torch.allclose(lit.linearise(dark).base_logits, found, atol=1e-4)
    assert not torch.allclose(lit.linearise(dark).base_logits, plain.linearise(dark).base_logits, atol=1e-3)


def test_it_holds_what_the_model_gives_for_zero_code(tiny_model):
    image = torch.rand(1, 3, *TINY.size)
    linearisation, output = tiny_model.linearise(image), tiny_model(image, torch.zeros(1, 8, *TINY.size))
    assert torch.allclose(linearisation.base_logits, output.base_logits[0], atol=1e-6)
    assert torch.allclose(linearisation.b, output.uncertainty[0, 0], atol=1e-6)
    assert (linearisation.size, linearisation.code_size) == (TINY.size, TINY.code_size)


def test_what_a_code_adds_at_pixels_is_the_jacobian_times_the_code(tiny_model):
    linearisation = tiny_model.linearise(torch.rand(1, 3, *TINY.size))
    pixels = np.array([[0, 0], [31, 47], [13, 20]])
    code = np.random.default_rng(0).standard_normal(TINY.code_size)
    rows, columns = pixels.T
    at_pixels = linearisation.jacobian(pixels) @ code
    assert np.allclose(at_pixels, linearisation.added(code[None])[0, :, rows, columns], atol=1e-5)


def test_no_pixels_have_an_empty_jacobian(tiny_model):
    linearisation = tiny_model.linearise(torch.rand(1, 3, *TINY.size))
    assert linearisation.jacobian(np.zeros((0, 2), int)).shape == (0, 4, 6)


@pytest.mark.parametrize("config", [TINY, TINY_CLIMBS])
def test_an_encoded_truth_is_the_encoders_mean(config):
    model = make_model(config)
    image = torch.rand(1, 3, *TINY.size)
    known = known_labels(torch.randint(0, 4, (1, *TINY.size)), 4)
    expected = model(image, known).code.mean[0]
    assert torch.allclose(model.encode_truth(model.linearise(image), known), expected, atol=1e-5)
    with torch.inference_mode():
        predicted = model.linearise(image)
        assert torch.allclose(model.encode_truth(predicted, known), expected, atol=1e-5)
    assert torch.allclose(model.encode_truth(predicted, known), expected, atol=1e-5)
