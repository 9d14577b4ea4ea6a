"""How much a truth is worth to a refinement, and what holds against it: numbers that episodes can learn."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from segcode.model.config import ModelConfig

Tells = Literal["known", "excluded"]

START = {"known": (120.0, -0.2), "excluded": (20.0, 0.3)}
"""s and g before training, chosen on CamVid val. Where many pixels of a class are known, most only confirm the first
prediction: together they are worth a little less than a few."""

HOLD = 1000.0
"""What the first prediction counts before training."""


class Evidence(nn.Module):
    """n pixels of one truth count as s * n ** g independent ones, for neighbours err together.

    s and g differ by what the pixels tell, their class ("known") or one that they are not of ("excluded"), and by which
    class that is. `freedom` is the log-variance of the prior of the code, (M, N), by the class that is told, in models
    that learn it. It starts with 0 for the waves of that class and less for those of the others: what is told of the
    road should not raise the trees.

    All of this can be learnt in episodes. In the shipped models s, g and the hold were chosen on CamVid val; `camvid`
    has the `freedom` that was learnt for road, and 0 for all other classes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.code_size = config.code_size
        start = torch.tensor([(math.log(scale), growth) for scale, growth in START.values()])
        self.worth = nn.Parameter(start.repeat(config.classes, 1, 1))
        self.log_hold = nn.Parameter(torch.tensor(math.log(HOLD)))
        freedom = torch.zeros(config.classes, config.code_size)
        if config.code_start == "waves":
            waves = min(config.classes, config.code_channels)
            freedom[torch.arange(config.classes)[:, None] != torch.arange(config.code_size) % waves] = -2.0
        self.freedom = nn.Parameter(freedom) if config.prior != "standard" else None

    def forward(self, pixels: Tensor, tells: Tells, told: Bool[Tensor, "M"]) -> Tensor:
        """The worth of so many pixels (a scalar, more than 0), by their number on the network's grid."""
        log_scale, growth = self.worth[told, list(START).index(tells)].mean(0)
        return torch.exp(log_scale + growth * pixels.log())

    def hold(self) -> Tensor:
        """What the first prediction counts as far as truth leaves it, a scalar: of the whole image, in pixels."""
        return self.log_hold.exp()

    def precision(self, told: Bool[Tensor, "M"]) -> Float[Tensor, "N"]:
        """Of the code: the variances of several told classes add up; without any it is 1."""
        if self.freedom is None or not told.any():
            return torch.ones(self.code_size, device=told.device)
        return torch.exp(-self.freedom[told].logsumexp(0))
