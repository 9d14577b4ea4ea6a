"""The Jacobian of `linear_decoder` at pixels of one image, which needs few cells of each coarser layer."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from segcode.interpolation import neighbours
from segcode.model.features import Pyramid
from segcode.model.linear_decoder import ConditionedPath, LinearDecoder
from segcode.tensors import Pixels


@torch.no_grad()
def jacobian(decoder: LinearDecoder, features: Pyramid, pixels: Pixels) -> Float[Tensor, "n M N"]:
    """J(I) at pixels: the derivative of each logit by each number of the code.

    Args:
        decoder: of the code.
        features: that the code path is conditioned on.
        pixels: of the finest features.
    """
    grid = decoder.grid.weight.unflatten(0, decoder.grid_shape).permute(1, 2, 0, 3)
    path = decoder.of_code
    return _at(path, len(path.levels) - 1, grid, features, pixels)


def _at(path: ConditionedPath, level: int, grid: Float[Tensor, "h w R k"], features: Pyramid, cells: Pixels) -> Tensor:
    """The linear part of a path's layer at cells of its resolution, for k inputs.

    A layer is a matrix at each cell. Its input is resampled from four cells of the layer before, down to the grid.
    """
    if level < 0:
        return grid[cells[:, 0], cells[:, 1]]
    stride, layer = path.levels[level]
    feature = features[stride][0]
    rows, columns = grid.shape[:2] if level == 0 else features[path.levels[level - 1][0]].shape[-2:]
    corners, share = neighbours(cells, (feature.shape[1], feature.shape[2]), (rows, columns))
    needed, corners = np.unique(corners, return_inverse=True)
    x = _at(path, level - 1, grid, features, np.stack([needed // columns, needed % columns], axis=1))
    mixed = _mixed(x, torch.from_numpy(corners).to(x.device), torch.from_numpy(share).to(x))
    return layer.matrices(feature[:, cells[:, 0], cells[:, 1]].T) @ mixed


def _mixed(x: Float[Tensor, "c R k"], corners: Tensor, share: Float[Tensor, "n 4"]) -> Float[Tensor, "n R k"]:
    """The means of four rows of x each that bilinear resampling takes."""
    mixed = functional.embedding_bag(corners, x.flatten(1), per_sample_weights=share, mode="sum")
    return mixed.unflatten(1, x.shape[1:])
