"""q(c | labels, image): the mean and the log-variance of the code (Fig. 2, bottom left)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segcode.model.config import STRIDES, ModelConfig
from segcode.model.features import Pyramid, convolution
from segcode.tensors import IGNORE, Code, Labels


class CodeDistribution(NamedTuple):
    """A diagonal Gaussian over codes."""

    mean: Code
    log_variance: Code

    def sample(self) -> Code:
        """A draw that gradients pass through (Kingma and Welling 2014)."""
        return self.mean + (0.5 * self.log_variance).exp() * torch.randn_like(self.mean)


def one_hot(labels: Labels, classes: int) -> Tensor:
    """Labels (B, H, W) as (B, M, H, W) in 0 and 1; void pixels are all zero."""
    void = labels == IGNORE
    hot = functional.one_hot(labels.long().masked_fill(void, 0), classes).permute(0, 3, 1, 2)
    return hot.float() * ~void[:, None]


class LabelEncoder(nn.Module):
    """Stride-2 convolutions over one-hot labels, image features of the same resolution concatenated at every level.

    The last level is pooled to a fixed grid, so that the two fully connected layers fit images of any size.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.channels
        self.classes = config.classes
        self.down = nn.ModuleList(
            convolution((config.classes if s == 1 else width(s)) + width(s), width(2 * s), stride=2)
            for s in reversed(STRIDES[1:])
        )
        self.last = convolution(2 * width(16), config.code_channels)
        self.pool = nn.AdaptiveAvgPool2d(config.code_grid)
        flat = config.code_channels * config.code_grid[0] * config.code_grid[1]
        self.mean = nn.Linear(flat, config.code_size)
        self.log_variance = nn.Linear(flat, config.code_size)

    def forward(self, labels: Labels, features: Pyramid) -> CodeDistribution:
        """The distribution of the code given labels 0..M-1 (void = IGNORE) and the image's features."""
        x = one_hot(labels, self.classes)
        for stride, down in zip(reversed(STRIDES[1:]), self.down, strict=True):
            x = down(torch.cat([x, features[stride]], dim=1))
        x = self.pool(self.last(torch.cat([x, features[16]], dim=1))).flatten(1)
        # Beyond e^-10 and e^10 the variance says nothing more, and its exponent leaves half precision.
        return CodeDistribution(self.mean(x), self.log_variance(x).clamp(-10.0, 10.0))
