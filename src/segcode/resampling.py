"""Batches of maps at other sizes in PyTorch; pixel centres are at half-integers."""

from __future__ import annotations

from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional


def resize(maps: Float[Tensor, "B M h w"], size: tuple[int, ...]) -> Float[Tensor, "B M H W"]:
    """Maps at another size (rows, columns), without antialiasing; maps that have it are returned as they are."""
    if maps.shape[2:] == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)


def pooled(maps: Float[Tensor, "B M h w"], size: tuple[int, ...]) -> Float[Tensor, "B M H W"]:
    """Means of maps in the cells of another size; maps that have it are returned as they are."""
    return maps if maps.shape[2:] == size else functional.adaptive_avg_pool2d(maps, (size[0], size[1]))


def nearest(labels: Integer[Tensor, "B h w"], size: tuple[int, ...]) -> Integer[Tensor, "B H W"]:
    """Labels at another size, from the nearest pixel."""
    return functional.interpolate(labels[:, None].float(), size, mode="nearest-exact")[:, 0].to(labels)
