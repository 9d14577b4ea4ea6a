from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from transformers import ConvNextConfig, Dinov2Config, ResNetConfig, ResNetModel

from segcode.classes import ClassSet
from segcode.errors import CheckpointError, ConfigError
from segcode.model.checkpoint import LoadedModel, load_model, save_model
from segcode.model.huggingface_features import HuggingFaceFeatures, backbone_config, backbone_weights
from tiny import TINY, make_model

RESNET = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic")
CLASSES = ClassSet(("a", "b", "c", "d"), ((1, 2, 3), (4, 5, 6), (7, 8, 9), (9, 9, 9)))
SIZES = [(64, 96), (50, 70)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("resnet")
    ResNetModel(RESNET).save_pretrained(path)
    return str(path)


@pytest.mark.parametrize(
    ("config", "strides"),
    [
        (RESNET, (32, 16, 8, 4, 2)),
        (ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1]), (32, 16, 8, 4, 2)),
        (Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=14), (14, 2)),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)
@pytest.mark.parametrize("size", SIZES)
def test_every_backbone_gives_features_up_to_stride_2(config, strides, size, tmp_path):
    config.save_pretrained(tmp_path)
    features = HuggingFaceFeatures(backbone_config(str(tmp_path)), width=2)
    assert features.strides == strides
    maps = features.eval()(torch.rand(2, 3, *size))
    assert [maps[stride].shape[1] for stride in strides] == list(features.out_channels)
    assert maps[2].shape[2:] == (size[0] // 2, size[1] // 2)


def test_weights_are_those_of_the_folder(folder):
    weights = backbone_weights(folder)
    features = HuggingFaceFeatures(backbone_config(folder), width=2)
    features.encoder.load_state_dict(weights)
    image = torch.rand(1, 3, 64, 64)
    normal = (image - features.mean) / features.deviation
    expected = ResNetModel.from_pretrained(folder).eval()(normal).last_hidden_state
    assert torch.allclose(features.eval().encoded(image)[32], expected, atol=1e-5)


def test_a_saved_model_needs_the_folder_no_more(folder, tmp_path):
    model = make_model(replace(TINY, backbone="huggingface", huggingface=backbone_config(folder), width=2))
    save_model(
        tmp_path / "model",
        LoadedModel(model, ClassSet(("a", "b", "c", "d"), ((0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)))),
        "",
    )
    again = load_model(tmp_path / "model").model
    image = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.allclose(again.features(image)[2], model.features(image)[2], atol=0.05)


def test_what_is_no_backbone_is_refused_by_its_name(tmp_path):
    with pytest.raises(CheckpointError, match=f"{tmp_path}.*config.json"):
        backbone_config(str(tmp_path))
    with pytest.raises(ConfigError, match="huggingface"):
        HuggingFaceFeatures({"model_type": "no such type"}, 2)
    with pytest.raises(ConfigError, match="lacks model_type"):
        HuggingFaceFeatures({}, 2)


def test_a_folder_without_weights_is_refused_by_its_name(tmp_path):
    RESNET.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        backbone_weights(str(tmp_path))


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"segcode\[hf\]"):
        HuggingFaceFeatures({"model_type": "resnet"}, 2)
