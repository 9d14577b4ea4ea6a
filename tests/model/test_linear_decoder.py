from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from segcode.model.linear_decoder import cosines
from segcode.model.segcode import build_segcode
from tiny import TINY, TINY_LITE, make_model

CONFIGS = [
    pytest.param(replace(TINY, code_stride=stride, conditioning=conditioning), id=f"{conditioning}-{stride}")
    for stride in (2, 8, 16)
    for conditioning in ("product", "concatenation")
] + [pytest.param(replace(TINY_LITE, code_stride=stride), id=f"lite-{stride}") for stride in (2, 8)]


@pytest.mark.parametrize("config", CONFIGS)
def test_many_codes_of_an_image_are_decoded_as_each_alone(config):
    model = make_model(config)
    features = model.features(torch.rand(1, 3, *config.size))
    codes = torch.randn(7, config.code_size)
    each = torch.cat([model.decoder.linear(features, code[None]) for code in codes])
    assert (each - model.decoder.linear(features, codes)).norm() <= 1e-5 * each.norm()


@pytest.mark.parametrize("config", CONFIGS)
def test_decoder_is_linear_beside_its_base(config):
    model = make_model(config)
    features = model.features(torch.rand(1, 3, *config.size))
    a, b = torch.randn(2, 1, config.code_size)
    together = model.decoder.linear(features, 2 * a - 3 * b)
    apart = 2 * model.decoder.linear(features, a) - 3 * model.decoder.linear(features, b)
    assert (together - apart).norm() <= 1e-5 * apart.norm()


def test_code_changes_the_map(tiny_model):
    features = tiny_model.features(torch.rand(1, 3, *TINY.size))
    assert tiny_model.decoder.linear(features, torch.randn(1, TINY.code_size)).abs().max() > 1e-3


@pytest.mark.parametrize(("conditioning", "differs"), [("product", True), ("concatenation", False)])
def test_only_the_product_makes_the_jacobian_depend_on_the_image(conditioning, differs):
    model = make_model(replace(TINY, conditioning=conditioning))
    code = torch.randn(1, TINY.code_size)
    first, second = (model.decoder.linear(model.features(torch.rand(1, 3, *TINY.size)), code) for _ in range(2))
    assert torch.allclose(first, second, atol=1e-6) != differs


def test_features_are_used_at_training_as_at_evaluation():
    """No normalisation on the code path: it is linear in training mode too."""
    model = make_model(TINY).train()
    features = model.features(torch.rand(2, 3, *TINY.size))
    code = torch.randn(2, TINY.code_size)
    assert torch.allclose(model.decoder.linear(features, 3 * code), 3 * model.decoder.linear(features, code), atol=1e-4)


def test_before_training_the_code_adds_waves_to_the_logits():
    config = replace(TINY, code_size=20)
    model = build_segcode(config).eval()
    effect = model.decoder.linear(model.features(torch.rand(1, 3, *config.size)), torch.eye(20))
    for number in range(4):
        offset = torch.zeros(4, *config.size)
        offset[number] = 1
        assert torch.allclose(effect[number], offset, atol=1e-5)
    other = effect[4:8].flatten(2)
    assert torch.allclose(other.mean(2), torch.zeros(4, 4), atol=1e-5)
    assert (other.std(2).diag() > 0.1).all()


def test_a_random_start_has_no_waves():
    config = replace(TINY, code_start="random")
    model = build_segcode(config).eval()
    effect = model.decoder.linear(model.features(torch.rand(1, 3, *config.size)), torch.eye(config.code_size))
    assert effect[0].std((1, 2)).max() > 1e-4


def test_cosines_are_orthogonal_and_start_with_the_constant():
    waves = cosines(3, 4).flatten(1)
    gram = waves @ waves.T
    assert torch.allclose(gram, gram.diag().diag(), atol=1e-5)
    assert torch.equal(waves[0], torch.ones(12))
