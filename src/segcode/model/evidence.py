"""How much a region of truth is worth to a refinement, learnt in the training's episodes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Evidence(nn.Module):
    """n pixels of one truth count as s * n ** g independent ones, for neighbours err together.

    Pixels whose class is known have an s and a g, pixels that are known not to be of a class have others. These start
    values are near what training finds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known = nn.Parameter(torch.tensor([math.log(0.5), 0.6]))
        self.excluded = nn.Parameter(torch.tensor([math.log(2.0), 0.6]))

    def forward(self, pixels: Tensor, known: bool) -> Tensor:
        """The worth of so many pixels (a scalar, more than 0), by their number on the network's grid."""
        log_scale, growth = self.known if known else self.excluded
        return torch.exp(log_scale + growth * pixels.log())
