from __future__ import annotations

import pytest
import torch

from segcode.errors import ConfigError
from segcode.model.config import ModelConfig
from segcode.model.label_encoder import known_labels, one_hot
from segcode.tensors import IGNORE
from tiny import TINY


def test_pyramid_halves_resolution_and_doubles_channels(tiny_model):
    pyramid = tiny_model.features(torch.rand(1, 3, 64, 96))
    assert {s: tuple(f.shape[1:]) for s, f in pyramid.items()} == {
        s: (TINY.width * s, 64 // s, 96 // s) for s in (16, 8, 4, 2, 1)
    }


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (50, 33), (90, 120)])
def test_images_of_any_size_give_maps_of_that_size(tiny_model, size):
    output = tiny_model(torch.rand(1, 3, *size), known_labels(torch.randint(0, 4, (1, *size)), 4))
    assert output.zero.shape == output.logits.shape == (1, 4, *size)


def test_uncertainty_is_positive(tiny_model):
    output = tiny_model(torch.rand(2, 3, 32, 48), torch.zeros(2, 8, 32, 48))
    assert (output.uncertainty > 0).all()


def test_void_is_zero_in_one_hot():
    hot = one_hot(torch.tensor([[[0, 2, IGNORE]]]), 3)
    assert hot[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_void_pixels_tell_the_encoder_nothing(tiny_model):
    features = tiny_model.features(torch.rand(1, 3, 32, 48))
    zero, void = tiny_model.decoder.base(features), torch.full((1, 32, 48), IGNORE)
    told = tiny_model.label_encoder(known_labels(void, 4), zero, features)
    untold = tiny_model.label_encoder(torch.zeros(1, 8, 32, 48), zero, features)
    assert torch.equal(told.mean, untold.mean)
    assert torch.equal(told.log_variance, untold.log_variance)


def test_where_nothing_is_known_the_code_is_standard_normal(tiny_model):
    features = tiny_model.features(torch.rand(2, 3, 32, 48))
    known = torch.zeros(2, 8, 32, 48)
    known[1, 2, 0, 0] = 1
    code = tiny_model.label_encoder(known, tiny_model.decoder.base(features), features)
    assert not code.mean[0].any()
    assert not code.log_variance[0].any()
    assert code.mean[1].any()


def test_code_is_drawn_in_training_and_its_mean_at_evaluation(tiny_model):
    image, labels = torch.rand(1, 3, 32, 48), known_labels(torch.randint(0, 4, (1, 32, 48)), 4)
    assert torch.equal(tiny_model(image, labels).logits, tiny_model(image, labels).logits)
    tiny_model.train()
    assert not torch.equal(tiny_model(image, labels).logits, tiny_model(image, labels).logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"classes": 1}, "classes is 1"),
        ({"size": (0, 10)}, "size is"),
        ({"code_size": 0}, "code_size is 0"),
    ],
)
def test_impossible_shapes_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**{"classes": 4, **change})
