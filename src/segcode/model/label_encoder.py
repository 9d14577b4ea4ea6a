"""q(c | known labels, image): the mean and the log-variance of the code (Fig. 2, bottom left).

The paper's encoder sees the whole label image. Ours may see any part of it, so that it proposes a code for a truth of
a few pixels, too.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segcode.model.config import STRIDES, ModelConfig
from segcode.model.features import Pyramid, convolution
from segcode.tensors import IGNORE, Code, Known, Labels, Logits


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


def known_labels(labels: Labels, classes: int) -> Known:
    """A whole label image as the encoder's input; void is unknown."""
    hot = one_hot(labels, classes)
    return torch.cat([hot, torch.zeros_like(hot)], dim=1)


class LabelEncoder(nn.Module):
    """Stride-2 convolutions over what is known, image features of the same resolution concatenated at every level.

    It also sees what zero code says, for the code is to tell what that got wrong. The last level is pooled to a fixed
    grid, so that the fully connected layers fit images of any size. Where nothing is known the code is N(0, I).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.channels
        self.down = nn.ModuleList(
            convolution((3 * config.classes if s == 1 else width(s)) + width(s), width(2 * s), stride=2)
            for s in reversed(STRIDES[1:])
        )
        self.last = convolution(2 * width(16), config.code_channels)
        self.pool = nn.AdaptiveAvgPool2d(config.code_grid)
        flat = config.code_channels * config.code_grid[0] * config.code_grid[1]
        self.mean = nn.Linear(flat, config.code_size)
        self.log_variance = nn.Linear(flat, config.code_size)

    def forward(self, known: Known, zero: Logits, features: Pyramid) -> CodeDistribution:
        """Encode what is known of images, given their logits of zero code and their features."""
        x = torch.cat([known, zero.detach().float().softmax(1)], dim=1)
        for stride, layer in zip(reversed(STRIDES), (*self.down, self.last), strict=True):
            x = layer(torch.cat([x, features[stride]], dim=1))
        x = self.pool(x).flatten(1)
        told = known.flatten(1).any(1, keepdim=True)
        # Beyond e^-10 and e^10 the variance says nothing more, and its exponent leaves half precision.
        return CodeDistribution(self.mean(x) * told, self.log_variance(x).clamp(-10.0, 10.0) * told)
