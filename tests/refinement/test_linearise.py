from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from segcode.refinement.linearise import linearise
from tiny import TINY, make_model

CONFIGS = [replace(TINY, code_stride=2), TINY, replace(TINY, conditioning="concatenation")]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("size", [(32, 48), (29, 51)])
def test_jacobian_is_the_derivative_of_the_decoder(config, size):
    model = make_model(config)
    image = torch.rand(1, 3, *size)
    linearised = linearise(model, image)
    pixels = torch.cartesian_prod(torch.arange(0, size[0], 5), torch.arange(0, size[1], 7))
    features = model.features(image)
    exact = model.decoder.linear(features, torch.eye(config.code_size))[:, :, pixels[:, 0], pixels[:, 1]]
    jacobian = linearised.jacobian(pixels)
    assert (jacobian - exact.permute(2, 1, 0)).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize("config", CONFIGS)
def test_full_maps_are_the_decoders(config):
    model = make_model(config)
    image = torch.rand(1, 3, *config.size)
    linearised = linearise(model, image)
    codes = torch.randn(3, config.code_size)
    decoded = torch.cat([model.decoder(model.features(image), code[None]) for code in codes])
    assert (linearised.logits(codes) - decoded).norm() <= 1e-5 * decoded.norm()


def test_maps_at_pixels_are_base_plus_jacobian_times_code(tiny_model):
    linearised = linearise(tiny_model, torch.rand(1, 3, *TINY.size))
    pixels = torch.tensor([[0, 0], [31, 47], [13, 20]])
    code = torch.randn(TINY.code_size)
    at_pixels = linearised.base_at(pixels) + linearised.jacobian(pixels) @ code
    full = linearised.logits(code[None])[0, :, pixels[:, 0], pixels[:, 1]].T
    assert torch.allclose(at_pixels, full, atol=1e-5)
    assert torch.allclose(linearised.logits_at(code, pixels), full, atol=1e-5)


def test_what_is_remembered_is_what_would_be_computed(tiny_model):
    linearised = linearise(tiny_model, torch.rand(1, 3, *TINY.size))
    remembering = linearised.remembering()
    for seed in range(4):  # overlapping questions, in any order, some pixels twice; and one that overlaps with none
        pixels = torch.randint(0, 8, (40, 2), generator=torch.Generator().manual_seed(seed)) + 20 * (seed == 3)
        assert torch.allclose(remembering.jacobian(pixels), linearised.jacobian(pixels), atol=1e-6)
    assert remembering.jacobian(torch.zeros(0, 2, dtype=torch.long)).shape == (0, 4, 6)


def test_what_was_asked_before_is_not_computed_again(tiny_model, monkeypatch):
    remembering = linearise(tiny_model, torch.rand(1, 3, *TINY.size)).remembering()
    computed, jacobian_at = [], type(tiny_model.decoder).jacobian_at

    def counted(decoder, features, pixels):
        computed.append(pixels.tolist())
        return jacobian_at(decoder, features, pixels)

    monkeypatch.setattr(type(tiny_model.decoder), "jacobian_at", counted)
    remembering.jacobian(torch.tensor([[3, 4], [0, 0]]))
    remembering.jacobian(torch.tensor([[0, 0], [5, 5], [3, 4]]))
    assert computed == [[[3, 4], [0, 0]], [[5, 5]]]


def test_no_pixels_have_an_empty_jacobian(tiny_model):
    linearised = linearise(tiny_model, torch.rand(1, 3, *TINY.size))
    assert linearised.jacobian(torch.zeros(0, 2, dtype=torch.long)).shape == (0, 4, 6)
