from __future__ import annotations

import pytest
import torch

from segcode.errors import ConfigError
from segcode.model.config import ModelConfig
from segcode.model.features import Backbone
from segcode.model.label_encoder import LabelEncoder, diagonal_gaussian, known_labels, one_hot
from segcode.model.linear_decoder import LinearDecoder
from segcode.model.segcode import SegCode, UncertaintyHead
from segcode.tensors import IGNORE
from tiny import TINY, TINY_CLIMBS, TINY_LITE, make_model


def test_pyramid_halves_resolution_and_doubles_channels(tiny_model):
    pyramid = tiny_model.features(torch.rand(1, 3, 64, 96))
    assert {s: tuple(f.shape[1:]) for s, f in pyramid.items()} == {
        s: (TINY.width * s, 64 // s, 96 // s) for s in (16, 8, 4, 2, 1)
    }


@pytest.mark.parametrize("config", [TINY, TINY_LITE], ids=["unet", "efficientnet_lite0"])
@pytest.mark.parametrize("size", [(64, 96), (45, 70)])
def test_a_network_by_name_is_a_backbone(config, size):
    features = make_model(config).features
    assert isinstance(features, Backbone)
    pyramid = features(torch.rand(1, 3, *size))
    assert tuple(pyramid) == features.strides
    assert tuple(feature.shape[1] for feature in pyramid.values()) == features.out_channels
    assert [tuple(f.shape[2:]) for f in pyramid.values()] == [(-(-size[0] // s), -(-size[1] // s)) for s in pyramid]


def test_the_logits_of_efficientnet_are_at_stride_2():
    model = make_model(TINY_LITE)
    output = model(torch.rand(1, 3, 45, 70), known_labels(torch.randint(0, 4, (1, 45, 70)), 4))
    assert output.base_logits.shape == output.logits.shape == (1, 4, 23, 35)
    assert output.uncertainty.shape == (1, 1, 23, 35)


class Averages(torch.nn.Module):
    """The colours, averaged over squares: a backbone with strides and channels of its own."""

    def __init__(self, strides):
        super().__init__()
        self.strides, self.out_channels = strides, (3,) * len(strides)

    def forward(self, image):
        return {stride: torch.nn.functional.avg_pool2d(image, stride) for stride in self.strides}


@pytest.mark.parametrize("strides", [(4, 2, 1), (8, 4), (16, 8, 2), (8,)])
def test_any_backbone_carries_the_parts(strides):
    backbone = Averages(strides)
    model = SegCode(
        backbone,
        LinearDecoder(backbone, backbone, TINY),
        LabelEncoder(backbone, TINY),
        UncertaintyHead(backbone),
        TINY,
    )
    labels = torch.randint(0, 4, (2, 32, 48))
    output = model(torch.rand(2, 3, 32, 48), known_labels(labels, 4))
    size = (32 // strides[-1], 48 // strides[-1])
    assert output.base_logits.shape == output.logits.shape == (2, 4, *size)
    assert output.uncertainty.shape == (2, 1, *size)
    output.logits.sum().backward()
    assert model.label_encoder.mean.weight.grad.any()


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (50, 33), (90, 120)])
def test_images_of_any_size_give_maps_of_that_size(tiny_model, size):
    output = tiny_model(torch.rand(1, 3, *size), known_labels(torch.randint(0, 4, (1, *size)), 4))
    assert output.base_logits.shape == output.logits.shape == (1, 4, *size)


def test_uncertainty_is_positive(tiny_model):
    output = tiny_model(torch.rand(2, 3, 32, 48), torch.zeros(2, 8, 32, 48))
    assert (output.uncertainty > 0).all()


def test_void_is_zero_in_one_hot():
    hot = one_hot(torch.tensor([[[0, 2, IGNORE]]]), 3)
    assert hot[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


@pytest.fixture(params=[TINY, TINY_CLIMBS], ids=["network", "gradient"])
def encode(request):
    """The code of known labels, of a model and of images that are always the same."""
    model = make_model(request.param)

    def code(known: torch.Tensor) -> torch.distributions.Normal:
        torch.manual_seed(0)
        return model(torch.rand(len(known), 3, 32, 48), known).code

    return code


def test_void_pixels_do_not_change_the_code(encode):
    labels = torch.full((1, 32, 48), IGNORE)
    labels[0, 3, 4] = 2
    alone = torch.zeros(1, 8, 32, 48)
    alone[0, 2, 3, 4] = 1
    codes = [encode(known) for known in (known_labels(labels, 4), alone)]
    assert torch.equal(codes[0].mean, codes[1].mean)
    assert torch.equal(codes[0].stddev, codes[1].stddev)


def test_without_known_labels_the_code_is_standard_normal(encode):
    known = torch.zeros(2, 8, 32, 48)
    known[1, 2, 0, 0] = 1
    code = encode(known)
    assert not code.mean[0].any()
    assert torch.equal(code.stddev[0], torch.ones(TINY.code_size))
    assert code.mean[1].any()


@pytest.fixture
def climbing():
    """A model whose code changes logits by no more than a step of that length suits."""
    model = make_model(TINY_CLIMBS)
    with torch.no_grad():
        model.decoder.grid.weight.mul_(0.01)
    return model


def test_steps_up_the_gradient_bring_the_map_nearer_to_the_labels(climbing):
    image, labels = torch.rand(2, 3, 32, 48), torch.randint(0, 4, (2, 8, 12)).repeat_interleave(4, 1)
    labels = labels.repeat_interleave(4, 2)
    output = climbing(image, known_labels(labels, 4))
    before, after = (torch.nn.functional.cross_entropy(z, labels) for z in (output.base_logits, output.logits))
    assert after < before


def test_a_class_that_a_pixel_is_not_gets_less_likely(climbing):
    known = torch.zeros(1, 8, 32, 48)
    known[0, 4 + 1] = 1  # nowhere
    output = climbing(torch.rand(1, 3, 32, 48), known)
    before, after = (z.softmax(1)[0, 1].mean() for z in (output.base_logits, output.logits))
    assert after < before


def test_code_is_drawn_in_training_and_its_mean_at_evaluation(tiny_model):
    image, labels = torch.rand(1, 3, 32, 48), known_labels(torch.randint(0, 4, (1, 32, 48)), 4)
    assert torch.equal(tiny_model(image, labels).logits, tiny_model(image, labels).logits)
    tiny_model.train()
    assert not torch.equal(tiny_model(image, labels).logits, tiny_model(image, labels).logits)


def test_the_deviation_of_the_code_is_safe_in_half_precision():
    code = diagonal_gaussian(torch.zeros(1, 2).half(), torch.tensor([[60_000.0, -60_000.0]]).half())
    assert code.mean.dtype == code.stddev.dtype == torch.float32
    assert torch.allclose(code.variance.log(), torch.tensor([[10.0, -10.0]]), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"classes": 1}, "classes is 1"),
        ({"size": (0, 10)}, "size is"),
        ({"code_size": 0}, "code_size is 0"),
        ({"least_luma": 1.0}, "least_luma is 1.0: give a mean luma below 1"),
    ],
)
def test_impossible_shapes_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**{"classes": 4, **change})
