"""Which class a truth seems to tell all of, though it does not say so.

Whoever tells all of a road stops where the road ends. Half a road ends in the middle of a road: there the first
prediction is sure of road on both sides. So a class is told as a whole if what is told of it is a region, not points or
strokes, and the first prediction is sure of the class neither along the edge of that nor in much of the rest.

The four numbers were chosen on CamVid val and on its sequence 0006R0, which the model had not seen (docs/results.md).
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from segcode.truth.truth import Truth

INNER: Final = 0.001
"""The share of all cells that a region has inside, with told cells all around them."""

SURE: Final = 0.9
"""A first prediction of this probability is taken at its word."""

ALONG: Final = 0.1
"""The share of the edge along which the first prediction may be sure, and wrong."""

ELSEWHERE: Final = 0.2
"""So many cells for each told one may the first prediction be sure, and wrong, of."""

EDGE: Final = (1, 3)
"""The edge is what is between these distances from what is told, in cells: nearer, nobody knows where a region ends."""


def told_as_whole(truth: Truth, small: Truth, zero: Float[Tensor, "M h w"]) -> Bool[Tensor, "M"]:
    """The class that seems to be told as a whole, or none, on the CPU.

    None where several classes are told: between their regions lie borders that nobody labelled, which are mostly of one
    of these classes.

    Args:
        truth: at the image's size.
        small: the same on the network's grid.
        zero: logits of the first prediction there.
    """
    whole, told = torch.zeros_like(small.told[0]), small.told[0].nonzero()
    if len(told) == 1:
        index = int(told)
        share = truth.share(index, small.size).to(zero.device)
        inside = ~_grown(share < 0.5, 1)
        whole[index] = inside.sum() >= INNER * inside.numel() and _ends(share > 0, small, zero.softmax(0)[index], index)
    return whole


def _ends(told: Bool[Tensor, "h w"], small: Truth, probability: Float[Tensor, "h w"], index: int) -> bool:
    """Whether a region of a class ends where what is told of it ends."""
    near, far = (_grown(told, cells) for cells in EDGE)
    beyond = ((probability >= SURE) & ~near).nonzero()
    not_of = small.at(beyond.cpu())[1][:, index].to(beyond.device)
    rows, columns = beyond[~not_of].unbind(1)
    along = far[rows, columns].sum() <= ALONG * (far & ~near).sum()
    return bool(along and len(rows) <= ELSEWHERE * told.sum())


def _grown(mask: Bool[Tensor, "h w"], cells: int) -> Bool[Tensor, "h w"]:
    """The mask and all within so many cells of it, up, down and across; pooling would take 50 times as long."""
    for _ in range(2):
        padded = functional.pad(mask, (cells, cells))
        mask = reduce(or_, (padded[:, shift : shift + mask.shape[1]] for shift in range(2 * cells + 1))).T
    return mask
