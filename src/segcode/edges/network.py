"""The network that edges are read from: features of an ImageNet network, and colours."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from segcode.edges.features import network_input
from segcode.efficientnet import EfficientNetLite0
from segcode.exposure import brightened
from segcode.field.grid import STRIDE, Grid
from segcode.resampling import resize
from segcode.tensors import Image

WEIGHTS: Final = Path(__file__).parent / "edges.safetensors"
"""EfficientNet-Lite0 to stride 8 in half precision, Apache-2.0; README.md beside it has the source."""

LEAST_LUMA: Final = 0.4
"""Darker images are brightened first, for their edges are weak. Chosen on sequences left out (docs/tried.md)."""


class EdgeNetwork(nn.Module):
    """An image to feature levels at the cells of a grid.

    Attributes:
        typical: mean squared distance of neighbouring cells for each level, over many images.
    """

    typical: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite0(stages=3, folded=True)
        self.register_buffer("typical", torch.ones(4))

    def forward(self, image: Float[Tensor, "1 3 H W"]) -> list[Float[Tensor, "_ n"]]:
        """Feature levels (channels, cells) of an image in 0..1 with `STRIDE` pixels along the side of a cell.

        The mean squared distance of neighbours is near 1.
        """
        cells = (image.shape[2] // STRIDE, image.shape[3] // STRIDE)
        image = brightened(image, LEAST_LUMA) * (255 / 128) - 127 / 128
        levels = []
        for (stride, level), typical in zip((*self.backbone(image).items(), (1, image)), self.typical, strict=True):
            finer = stride < STRIDE
            at_cells = functional.avg_pool2d(level, STRIDE // stride) if finer else resize(level, cells)
            levels.append((at_cells[0] / typical.sqrt()).flatten(1))
        return levels


@cache
def load_edge_network() -> EdgeNetwork:
    """The shipped network, in evaluation mode."""
    network = EdgeNetwork()
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})
    network.eval().requires_grad_(False)
    return network


@torch.inference_mode()
def network_features(image: Image, grid: Grid) -> list[Float[ndarray, "_ n"]]:
    """Feature levels of the shipped network at the cells."""
    return [level.numpy() for level in load_edge_network()(torch.from_numpy(network_input(image, grid)))]
