"""A model small enough for every test."""

from __future__ import annotations

from dataclasses import replace

import torch

from segcode.model.config import ModelConfig
from segcode.model.label_encoder import known_labels
from segcode.model.segcode import SegCode, build_segcode

TINY = ModelConfig(classes=4, size=(32, 48), width=4, code_size=6, code_channels=5, code_grid=(2, 3))

TINY_LITE = replace(TINY, backbone="efficientnet_lite0", width=2)

TINY_SEES_PREDICTION = replace(TINY, code_sees="prediction", code_width=2, code_cells=(14, 21))


TINY_CLIMBS = replace(TINY_SEES_PREDICTION, encoder_mean="gradient")


def make_model(config: ModelConfig) -> SegCode:
    """Random weights whose code matters, and batch-norm statistics that are not those of a new network."""
    torch.manual_seed(3)
    model = build_segcode(config).train()
    labels = torch.randint(0, config.classes, (4, *config.size))
    model(torch.rand(4, 3, *config.size), known_labels(labels, config.classes))
    with torch.no_grad():
        model.decoder.grid.weight.normal_()
        model.decoder.of_zero.last.of_image.weight.mul_(5)
        model.decoder.of_zero.last.of_image.bias.zero_()
        for _, layer in model.decoder.of_code.levels:
            layer.of_code.weight.add_(torch.randn_like(layer.of_code.weight), alpha=0.3)
    return model.eval()
