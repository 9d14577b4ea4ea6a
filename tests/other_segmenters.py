"""Segmenters that are not segcode's, made in a moment."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

NAMES = ("road", "sidewalk", "car", "sky")
PREPARED = 'white = 1\nmean = [0.5, 0.4, 0.3]\ndeviation = [0.25, 0.25, 0.25]\nchannels = "rgb"\n'


def class_file(folder: Path, names: Sequence[str] = NAMES) -> Path:
    """Write classes.toml with these names."""
    file = folder / "classes.toml"
    file.write_text("".join(f'[[class]]\nname = "{name}"\n' for name in names))
    return file


class Net(nn.Module):
    """Plain PyTorch: an image (1, 3, h, w) to a map of each class, whatever stands before and after it."""

    def __init__(self, classes: int = 4, after: nn.Module | None = None, channels_last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.of_image = nn.Conv2d(3, classes, 3, padding=1, stride=2)
        self.after, self.channels_last = after or nn.Identity(), channels_last

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = image.permute(0, 3, 1, 2) if self.channels_last else image
        output = self.after(4 * self.of_image(image.float()))
        return output.permute(0, 2, 3, 1) if self.channels_last else output


def write_onnx(path: Path, net: nn.Module, shape=(1, 3, 32, 64), dynamic: Mapping | None = None, dtype=torch.float32):
    """Export a network, with classes.toml and NET.toml beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = (torch.zeros(shape, dtype=dtype),)
        names = {"input_names": ["image"], "output_names": ["map"], "dynamic_axes": dynamic}
        torch.onnx.export(net.eval(), inputs, path, dynamo=False, **names)
    class_file(path.parent)
    path.with_suffix(".toml").write_text(PREPARED)
    return path


def save_segformer(folder: Path, names: Sequence[str] = NAMES) -> Path:
    net = {"depths": [1] * 4, "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2]}
    preparation = {"size": {"height": 64, "width": 64}}
    return _save(folder, "Segformer", "Semantic", names, preparation, **net, decoder_hidden_size=16)


def save_mask2former(folder: Path, names: Sequence[str] = NAMES) -> Path:
    from transformers import ResNetConfig

    stages = [f"stage{number}" for number in range(1, 5)]
    net = {
        "backbone_config": ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1] * 4, layer_type="basic", out_features=stages
        ),
        "feature_size": 32,
        "mask_feature_size": 32,
        "hidden_dim": 16,
        "encoder_feedforward_dim": 16,
        "dim_feedforward": 16,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "num_attention_heads": 2,
        "num_queries": 6,
    }
    preparation = {"size": {"shortest_edge": 48, "longest_edge": 120}, "size_divisor": 32}
    return _save(folder, "Mask2Former", "Universal", names, preparation, **net)


def save_eomt(folder: Path, split: bool, names: Sequence[str] = NAMES) -> Path:
    """A model that sees windows along the longer side of an image if `split`; else the padded image."""
    net = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 8}
    sizes = {"shortest_edge": 64, "longest_edge": None if split else 64}
    preparation = {"size": sizes, "do_split_image": split, "do_pad": not split}
    return _save(
        folder, "Eomt", "Universal", names, preparation, **net, num_queries=4, num_blocks=1, num_upscale_blocks=1
    )


def _save(folder: Path, family: str, task: str, names: Sequence[str], preparation: Mapping, **net: object) -> Path:
    """Save a small model of transformers with random weights, and its image processor."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**net, id2label=dict(enumerate(names)))
    getattr(transformers, f"{family}For{task}Segmentation")(config).save_pretrained(folder)
    getattr(transformers, f"{family}ImageProcessorPil")(**preparation).save_pretrained(folder)
    return folder


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)
