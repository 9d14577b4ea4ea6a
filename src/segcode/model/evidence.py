"""How much a truth is worth to a refinement, and what it may move: learnt in the training's episodes."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from segcode.model.config import ModelConfig


class Evidence(nn.Module):
    """n pixels of one truth count as s * n ** g independent ones, for neighbours err together.

    Pixels whose class is known have an s and a g, pixels that are known not to be of a class have others. These start
    values are near what training finds. `freedom` is the log-variance of the prior of the code, (M, N), by the class
    that is told, in models that learn it. It starts with 0 for the waves of that class and less for those of the
    others: what is told of the road should not raise the trees.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.code_size = config.code_size
        self.known = nn.Parameter(torch.tensor([math.log(0.5), 0.6]))
        self.excluded = nn.Parameter(torch.tensor([math.log(2.0), 0.6]))
        freedom = torch.zeros(config.classes, config.code_size)
        if config.code_start == "waves":
            waves = min(config.classes, config.code_channels)
            freedom[torch.arange(config.classes)[:, None] != torch.arange(config.code_size) % waves] = -2.0
        self.freedom = nn.Parameter(freedom) if config.prior != "standard" else None

    def forward(self, pixels: Tensor, known: bool) -> Tensor:
        """The worth of so many pixels (a scalar, more than 0), by their number on the network's grid."""
        log_scale, growth = self.known if known else self.excluded
        return torch.exp(log_scale + growth * pixels.log())

    def precision(self, told: Bool[Tensor, "M"]) -> Float[Tensor, "N"]:
        """Of the code: the variances of several told classes add up; without any it is 1."""
        if self.freedom is None or not told.any():
            return torch.ones(self.code_size, device=told.device)
        return torch.exp(-self.freedom[told].logsumexp(0))
