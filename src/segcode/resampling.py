"""Bilinear resampling of maps, all of a map or place by place; pixel centres are at half-integers."""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from segcode.tensors import Pixels


def resize(maps: Float[Tensor, "B M h w"], size: tuple[int, ...]) -> Float[Tensor, "B M H W"]:
    """Maps at another size (rows, columns), without antialiasing; maps that have it are returned as they are."""
    if maps.shape[2:] == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)


def resize_part(
    maps: Float[Tensor, "M h w"], size: tuple[int, int], rows: slice, columns: slice = slice(None)
) -> Float[Tensor, "M _n _m"]:
    """Some rows and columns of what `resize` gives."""
    above, under, down = between(torch.arange(*rows.indices(size[0]), device=maps.device), size[0], maps.shape[1])
    first = int(above[0])
    near = maps[None, :, first : int(under[-1]) + 1]
    wide = resize(near, (near.shape[2], size[1]))[0, :, :, columns]
    return torch.lerp(wide.index_select(1, above - first), wide.index_select(1, under - first), down.to(maps)[:, None])


def pooled(maps: Float[Tensor, "B M h w"], size: tuple[int, ...]) -> Float[Tensor, "B M H W"]:
    """Means of maps in the cells of another size; maps that have it are returned as they are."""
    return maps if maps.shape[2:] == size else functional.adaptive_avg_pool2d(maps, (size[0], size[1]))


def nearest(labels: Integer[Tensor, "B h w"], size: tuple[int, ...]) -> Integer[Tensor, "B H W"]:
    """Labels at another size, from the nearest pixel."""
    return functional.interpolate(labels[:, None].float(), size, mode="nearest-exact")[:, 0].to(labels)


def neighbours(
    places: Pixels, size: tuple[int, int], below: tuple[int, int]
) -> tuple[Integer[Tensor, "n 4"], Float[Tensor, "n 4"]]:
    """The four cells of a coarser grid that bilinear resampling mixes at places of a finer one, row by row, and how."""
    above, under, down = between(places[:, 0], size[0], below[0])
    left, right, across = between(places[:, 1], size[1], below[1])
    above, under, up, near = above * below[1], under * below[1], 1 - down, 1 - across
    cells = torch.stack([above + left, above + right, under + left, under + right], dim=1)
    return cells, torch.stack([up * near, up * across, down * near, down * across], dim=1)


def between(
    places: Integer[Tensor, "n"], size: int, below: int
) -> tuple[Integer[Tensor, "n"], Integer[Tensor, "n"], Float[Tensor, "n"]]:
    """Along one side: the cells before and after each place, and how far, 0..1, it is on the way to the second."""
    exact = ((places + 0.5) * below / size - 0.5).clamp(0, below - 1)
    before = exact.long()
    return before, (before + 1).clamp(max=below - 1), exact - before


def logits_at(
    logits: Float[Tensor, "M h w"], pixels: Integer[ndarray, "n 2"], size: tuple[int, int]
) -> Float[ndarray, "n M"]:
    """Logits resized bilinearly to (rows, columns), at some pixels."""
    cells, shares = neighbours(torch.from_numpy(pixels), size, (logits.shape[1], logits.shape[2]))
    table = logits.flatten(1).T
    return (table[cells] * shares[..., None].to(table)).sum(1).cpu().numpy()
