from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

from segcode.loss import (
    LossConfig,
    attenuated_cross_entropy,
    cross_entropy,
    pixel_weights,
    segcode_loss,
    twice_kl,
)
from segcode.model.label_encoder import diagonal_gaussian, known_labels
from segcode.tensors import IGNORE
from tiny import TINY, TINY_LITE, make_model


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_kl_is_eq_2_as_printed(seed):
    torch.manual_seed(seed)
    mean, log_variance = torch.randn(2, 3, 8)
    printed = (log_variance.exp() - log_variance - 1 + mean.square()).sum(1).mean()
    assert torch.isclose(twice_kl(diagonal_gaussian(mean, log_variance)), printed, rtol=1e-5)


def test_kl_is_twice_the_expected_difference_of_log_densities():
    torch.manual_seed(0)
    code, prior = Normal(torch.tensor([[0.7, -0.3]]), torch.tensor([[0.5, 1.4]])), Normal(0.0, 1.0)
    drawn = code.sample((200_000,))
    monte_carlo = (code.log_prob(drawn) - prior.log_prob(drawn)).sum(-1).mean()
    assert torch.isclose(twice_kl(code), 2 * monte_carlo, rtol=2e-2)


def test_kl_vanishes_for_the_prior_alone():
    assert twice_kl(diagonal_gaussian(torch.zeros(2, 5), torch.zeros(2, 5))) == 0


def test_without_uncertainty_it_is_the_cross_entropy():
    logits, labels = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6))
    loss = attenuated_cross_entropy(logits, torch.zeros(2, 1, 5, 6), labels, samples=3)
    assert torch.isclose(loss, torch.nn.functional.cross_entropy(logits, labels), rtol=1e-6)


def test_attenuation_equals_a_double_precision_reference():
    logits, b = torch.randn(1, 3, 4, 5), torch.rand(1, 1, 4, 5)
    labels = torch.randint(0, 3, (1, 4, 5))
    torch.manual_seed(11)
    loss = attenuated_cross_entropy(logits, b, labels, samples=6)
    torch.manual_seed(11)
    noise = np.stack([torch.randn_like(logits).double().numpy() for _ in range(6)])
    noisy = logits.double().numpy() + b.double().numpy() * noise
    probability = np.exp(noisy) / np.exp(noisy).sum(axis=2, keepdims=True)
    of_label = np.take_along_axis(probability, labels.numpy()[None, :, None], axis=2)
    assert float(loss) == pytest.approx(-np.log(of_label.mean(axis=0)).mean(), rel=1e-5)


def test_void_pixels_count_nowhere():
    logits, b, labels = torch.randn(1, 3, 4, 4), torch.zeros(1, 1, 4, 4), torch.randint(0, 3, (1, 4, 4))
    labels[:, 2:] = IGNORE
    changed = logits.clone()
    changed[:, :, 2:] = 50 * torch.randn(1, 3, 2, 4)
    for loss in (lambda z: attenuated_cross_entropy(z, b, labels, 1), lambda z: cross_entropy(z, labels)):
        assert torch.isclose(loss(logits), loss(changed), rtol=1e-6)


def test_an_image_of_void_alone_has_no_loss():
    labels = torch.full((1, 3, 3), IGNORE)
    logits = torch.randn(1, 4, 3, 3, requires_grad=True)
    loss = attenuated_cross_entropy(logits, torch.ones(1, 1, 3, 3), labels, 2) + cross_entropy(logits, labels)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_rare_classes_may_count_more(balance):
    labels = torch.zeros(1, 4, 5, dtype=torch.long)
    labels[0, 0, :2] = 1
    labels[0, 3, 3:] = IGNORE
    weight = pixel_weights(labels, balance)
    assert float(weight[0, 0, 0] / weight[0, 1, 0]) == pytest.approx((16 / 2) ** balance)
    assert float(weight.sum()) == pytest.approx(18)
    assert not weight[labels == IGNORE].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_safe_for_extreme_logits(dtype):
    logits = torch.tensor([3e4, -3e4, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2).to(dtype)
    labels = torch.ones(1, 2, 2, dtype=torch.long)
    loss = attenuated_cross_entropy(logits, torch.ones(1, 1, 2, 2, dtype=dtype), labels, 4)
    assert math.isfinite(loss)
    assert loss > 1e4


def test_kl_weight_grows_over_the_warm_up(tiny_model):
    labels = torch.randint(0, 4, (1, *TINY.size))
    output = tiny_model(torch.rand(1, 3, *TINY.size), known_labels(labels, TINY.classes))
    output = output._replace(uncertainty=torch.zeros_like(output.uncertainty))
    config = LossConfig(kl_weight=1e5, kl_warmup=0.5)
    totals = [
        float(segcode_loss(output, labels, config, progress).total.detach()) for progress in (0.0, 0.25, 0.5, 1.0)
    ]
    assert totals[0] == pytest.approx(float(segcode_loss(output, labels, config, 0.0).segmentation.detach()))
    assert totals[1] - totals[0] == pytest.approx((totals[2] - totals[0]) / 2, rel=1e-4)
    assert totals[2] == totals[3]


def test_the_initial_prediction_of_a_coarser_grid_is_compared_with_every_label():
    model = make_model(TINY_LITE)
    labels = torch.randint(0, 4, (2, 32, 48))
    output = model(torch.rand(2, 3, 32, 48), known_labels(labels, 4))
    enlarged = torch.nn.functional.interpolate(output.base_logits, (32, 48), mode="bilinear")
    loss = segcode_loss(output, labels, LossConfig(zero_code=1.0), 1.0)
    assert loss.initial.item() == pytest.approx(torch.nn.functional.cross_entropy(enlarged, labels).item(), rel=1e-5)
    assert loss.total.isfinite()
