"""The class of each pixel of a large image, from logits on the network's smaller grid."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from segcode.resampling import between, neighbours

_MIXED: Final = 255
_BLOCK: Final = 2**20  # pixels at a time, for their memory


def labels_of(logits: Float[Tensor, "M h w"], size: tuple[int, int]) -> UInt8[Tensor, "H W"]:
    """The class of the highest logit at each pixel of a size, as of logits resized bilinearly, without resizing them.

    A pixel's logits are a mean of those of four cells. The class that is the highest in all four is so in their mean,
    hence logits, which have to be finite, are computed where the four differ alone: along the edges of regions.
    """
    highest = logits.max(0).indices.to(torch.uint8)  # five times faster than argmax on a CPU
    grid = (logits.shape[1], logits.shape[2])
    if size == grid:
        return highest
    beyond = functional.pad(highest[None].float(), (0, 1, 0, 1), mode="replicate")[0].to(torch.uint8)
    alike = (beyond[:-1, :-1] == beyond[1:, :-1]) & (beyond[:-1, :-1] == beyond[:-1, 1:])
    alike &= beyond[:-1, :-1] == beyond[1:, 1:]
    cells = highest.masked_fill(~alike, _MIXED)
    rows, _, _ = between(torch.arange(size[0], device=logits.device), size[0], grid[0])
    columns, _, _ = between(torch.arange(size[1], device=logits.device), size[1], grid[1])
    labels = cells[rows][:, columns]
    table = logits.flatten(1).T.contiguous()
    for mixed in (labels == _MIXED).nonzero().split(_BLOCK):
        corners, shares = neighbours(mixed, size, grid)
        mean = functional.embedding_bag(corners, table, per_sample_weights=shares.to(table.dtype), mode="sum")
        labels[mixed[:, 0], mixed[:, 1]] = mean.max(1).indices.to(torch.uint8)
    return labels
