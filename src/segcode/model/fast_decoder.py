"""The maps and the Jacobian of `linear_decoder` for one image, without gradients and with less work on a CPU.

A map is computed in bands of rows, so that intermediate results stay in the cache. The Jacobian at pixels needs few
cells of each coarser layer, so no map of all cells is made.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from segcode.model.features import Pyramid
from segcode.model.linear_decoder import ConditionedLayer, ConditionedPath, LinearDecoder
from segcode.resampling import between, neighbours, resize
from segcode.tensors import Code, Logits, Pixels

BAND = 2**14
"""Pixels of a map that a CPU computes at a time."""

SMALL = 2**12
"""Pixels of a map up to which bands do not pay."""

BLOCK = 2**6
"""Pixels whose Jacobian a CPU computes at a time, so that the memory for intermediate results is used again."""


@torch.no_grad()
def base_logits(decoder: LinearDecoder, features: Pyramid) -> Logits:
    """S0(I), as `LinearDecoder.base`: (1, M, H, W)."""
    image = features[decoder.of_zero.finest]
    return _map(decoder.of_zero, image.new_zeros(1, *decoder.grid_shape), features)


@torch.no_grad()
def logits(decoder: LinearDecoder, features: Pyramid, codes: Code, onto: Float[Tensor, "M H W"]) -> Logits:
    """J(I) c of codes (k, N), as `LinearDecoder.linear`, added to a map: (k, M, H, W)."""
    return _map(decoder.of_code, decoder.on_grid(codes), features, onto)


@torch.no_grad()
def jacobian(decoder: LinearDecoder, features: Pyramid, pixels: Pixels) -> Float[Tensor, "n M N"]:
    """J(I) at pixels: the derivative of each logit by each number of the code."""
    grid = decoder.grid.weight.unflatten(0, decoder.grid_shape).permute(1, 2, 0, 3)
    path = decoder.of_code
    return _at(path, len(path.levels) - 1, grid, features, pixels.to(grid.device))


def _map(path: ConditionedPath, x: Tensor, features: Pyramid, onto: Tensor | None = None) -> Tensor:
    *coarse, (finest, last) = path.levels
    for stride, layer in coarse:
        x = _layer_map(layer, x, features[stride])
    return _layer_map(last, x, features[finest], onto)


def _layer_map(layer: ConditionedLayer, x: Tensor, feature: Tensor, onto: Tensor | None = None) -> Tensor:
    """(k, R, h, w) and features (1, C, H, W) to (k, outputs, H, W)."""
    if feature.is_cuda or feature.shape[2] * feature.shape[3] <= SMALL:
        mixed = layer(x, feature)
        return mixed if onto is None else mixed + onto
    mixed = x.new_empty(len(x), len(layer.of_code.weight), *feature.shape[2:])
    for one, into in zip(x, mixed, strict=True):
        _write_in_bands(layer, one, feature[0], onto, into)
    return mixed


def _write_in_bands(
    layer: ConditionedLayer,
    x: Float[Tensor, "R h w"],
    feature: Float[Tensor, "C H W"],
    onto: Float[Tensor, "outputs H W"] | None,
    mixed: Float[Tensor, "outputs H W"],
) -> None:
    """Write the layer's output into `mixed`, band by band, with one buffer for the inputs of all bands."""
    rows, columns = feature.shape[1:]
    wide = resize(x[None], (x.shape[1], columns))[0]
    before, after, share = between(torch.arange(rows), rows, x.shape[1])
    share = share.to(x.dtype)[:, None]
    weight = layer.of_code.weight.flatten(1)
    height = min(rows, max(1, BAND // columns))
    buffer = x.new_empty(weight.shape[1], height * columns)
    for start in range(0, rows, height):
        band = slice(start, start + height)
        image, into = feature[:, band].flatten(1), mixed[:, band].flatten(1)
        inputs = buffer[:, : image.shape[1]]
        plain, gated = inputs.split([len(x), len(inputs) - len(x)])
        above, below = wide.index_select(1, before[band]), wide.index_select(1, after[band])
        torch.lerp(above, below, share[band], out=plain.unflatten(1, (-1, columns)))
        if layer.gate is not None:
            torch.mul(plain, _convolved(layer.gate, image), out=gated)
        if onto is None:
            into.zero_()
        else:
            into.copy_(onto[:, band].flatten(1))
        if layer.of_image is not None:
            into.add_(_convolved(layer.of_image, image))
        torch.addmm(into, weight, inputs, out=into)


def _convolved(layer: nn.Conv2d, feature: Float[Tensor, "C P"]) -> Float[Tensor, "outputs P"]:
    """A 1 x 1 convolution."""
    assert layer.bias is not None
    return torch.addmm(layer.bias[:, None], layer.weight.flatten(1), feature)


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
    needed, corners = corners.unique(return_inverse=True)
    x = _at(path, level - 1, grid, features, torch.stack([needed // columns, needed % columns], dim=1))
    matrices, below = _matrices(layer, feature[:, cells[:, 0], cells[:, 1]].T), x.flatten(1)
    made = x.new_empty(len(cells), matrices.shape[1], x.shape[2])
    size = max(1, len(cells)) if feature.is_cuda else BLOCK
    for start in range(0, len(cells), size):
        block = slice(start, start + size)
        mixed = functional.embedding_bag(corners[block], below, per_sample_weights=share[block], mode="sum")
        made[block] = matrices[block] @ mixed.unflatten(1, x.shape[1:])
    return made


def _matrices(layer: ConditionedLayer, feature: Float[Tensor, "n C"]) -> Float[Tensor, "n outputs R"]:
    """The linear part of a layer at single cells."""
    weight = layer.of_code.weight[:, :, 0, 0]
    if layer.gate is None:
        return weight.expand(len(feature), -1, -1)
    plain, gated = weight.chunk(2, dim=1)
    gate = functional.linear(feature, layer.gate.weight.flatten(1), layer.gate.bias)
    return plain + gated * gate[:, None]
