"""Features that edges between neighbouring cells are read from: those of an ImageNet network, and colours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from segcode.data.resize import resize_image
from segcode.efficientnet import EfficientNetLite0
from segcode.field.grid import STRIDE, Grid
from segcode.resampling import resize
from segcode.tensors import Image

WEIGHTS: Final = Path(__file__).parent / "edges.safetensors"
"""EfficientNet-Lite0 to stride 8 in half precision, Apache-2.0; README.md beside it has the source."""


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

    def forward(self, image: Float[Tensor, "1 3 H W"], grid: Grid) -> list[Float[Tensor, "_ n"]]:
        """Feature levels (channels, cells) of an image in -1..1, the mean squared distance of neighbours near 1."""
        levels = [*self.backbone(image).values(), image]
        return [
            (_batch_at_cells(level, grid)[0] / scale.sqrt()).flatten(1)
            for level, scale in zip(levels, self.typical, strict=True)
        ]


@cache
def load_edge_network() -> EdgeNetwork:
    """The shipped network, in evaluation mode."""
    network = EdgeNetwork()
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})
    network.eval().requires_grad_(False)
    return network


def edge_features(
    image: Image, grid: Grid, given: Sequence[Float[Tensor, "_ _ _"]] | None, network: EdgeNetwork
) -> list[Float[ndarray, "_ n"]]:
    """Feature levels at the cells, to be compared between neighbours.

    Args:
        image: RGB (H, W, 3).
        grid: the cells.
        given: feature maps of the segmenter, which are used in place of the network.
        network: otherwise; it sees the image with `STRIDE` pixels along the side of a cell.
    """
    if given is not None:
        return [_scaled(at_cells(level, grid).flatten(1).cpu().numpy(), grid) for level in given]
    rows, columns = STRIDE * grid.rows, STRIDE * grid.columns
    pixels = image if image.shape[:2] == (rows, columns) else resize_image(image, rows, columns)
    batch = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 128 - 127 / 128
    return [level.numpy() for level in network(batch, grid)]


def at_cells(maps: Float[Tensor, "C h w"], grid: Grid) -> Float[Tensor, "C rows columns"]:
    """Feature maps at the cells: means of what lies in a cell, or interpolated where the cells are finer."""
    return _batch_at_cells(maps[None], grid)[0]


def _batch_at_cells(maps: Float[Tensor, "1 C h w"], grid: Grid) -> Float[Tensor, "1 C rows columns"]:
    size = maps.shape[2:]
    if size == grid.shape:
        return maps
    if size[0] < grid.rows or size[1] < grid.columns:
        return resize(maps, grid.shape)
    if size[0] % grid.rows == 0 and size[1] % grid.columns == 0:  # several times as fast
        return functional.avg_pool2d(maps, (size[0] // grid.rows, size[1] // grid.columns))
    return functional.adaptive_avg_pool2d(maps, grid.shape)


def _scaled(level: Float[ndarray, "C n"], grid: Grid) -> Float[ndarray, "C n"]:
    """A level divided by the root of its mean squared distance of neighbours."""
    first, second = grid.neighbours
    typical = np.square(level[:, first] - level[:, second]).sum(0).mean() if len(first) else 1.0
    return level / np.sqrt(max(float(typical), 1e-12))
