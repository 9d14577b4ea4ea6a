"""The Jacobian of `linear_decoder` at pixels of one image, which needs few cells of each coarser layer."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from segcode.interpolation import neighbours
from segcode.model.features import Pyramid
from segcode.model.linear_decoder import ConditionedPath, LinearDecoder
from segcode.tensors import Pixels

NUMBERS: Final = 2**22
"""Of a layer that is kept at all its cells: 16 MiB."""


class Coarse(NamedTuple):
    """The linear part of a path's layer at all cells of its resolution, for k inputs; the others follow from it.

    Attributes:
        level: of the layer; -1 for the grid of the code.
        size: rows and columns.
        x: R outputs at each cell, row by row, for each input.
    """

    level: int
    size: tuple[int, int]
    x: Float[Tensor, "c R k"]


@torch.no_grad()
def coarse_part(decoder: LinearDecoder, features: Pyramid) -> Coarse:
    """The finest layer with no more than `NUMBERS` numbers, the last one apart."""
    _, rows, columns = decoder.grid_shape
    part = Coarse(-1, (rows, columns), decoder.grid.weight.unflatten(0, (-1, rows * columns)).transpose(0, 1))
    for level, (stride, _) in enumerate(decoder.of_code.levels[:-1]):
        rows, columns = features[stride].shape[-2:]
        if rows * columns * part.x[0].numel() > NUMBERS:
            break
        cells = np.argwhere(np.ones((rows, columns), bool))
        part = Coarse(level, (rows, columns), _at(decoder.of_code, level, part, features, cells))
    return part


@torch.no_grad()
def jacobian(decoder: LinearDecoder, features: Pyramid, coarse: Coarse, pixels: Pixels) -> Float[Tensor, "n M N"]:
    """J(I) at pixels: the derivative of each logit by each number of the code.

    Args:
        decoder: of the code.
        features: that the code path is conditioned on.
        coarse: what `coarse_part` gives for them.
        pixels: of the finest features.
    """
    return _at(decoder.of_code, len(decoder.of_code.levels) - 1, coarse, features, pixels)


def _at(path: ConditionedPath, level: int, coarse: Coarse, features: Pyramid, cells: Pixels) -> Tensor:
    """The linear part of a path's layer at cells of its resolution, for k inputs.

    A layer is a matrix at each cell. Its input is resampled from four cells of the layer before.
    """
    stride, layer = path.levels[level]
    feature = features[stride][0]
    size, follows = (feature.shape[1], feature.shape[2]), level == coarse.level + 1
    rows, columns = coarse.size if follows else features[path.levels[level - 1][0]].shape[-2:]
    corners, share = neighbours(cells, size, (rows, columns))
    if follows:
        x = coarse.x
    else:
        needed, corners = np.unique(corners, return_inverse=True)
        x = _at(path, level - 1, coarse, features, np.stack([needed // columns, needed % columns], axis=1))
    mixed = _mixed(x, torch.from_numpy(corners).to(x.device), torch.from_numpy(share).to(x))
    return layer.matrices(feature[:, cells[:, 0], cells[:, 1]].T) @ mixed


def _mixed(x: Float[Tensor, "c R k"], corners: Tensor, share: Float[Tensor, "n 4"]) -> Float[Tensor, "n R k"]:
    """The means of four rows of x each that bilinear resampling takes."""
    mixed = functional.embedding_bag(corners, x.flatten(1), per_sample_weights=share, mode="sum")
    return mixed.unflatten(1, x.shape[1:])
