"""Features to b, the uncertainty of each pixel (Sect. 2.1, after Kendall and Gal 2017)."""

from __future__ import annotations

from torch import nn
from torch.nn import functional

from segcode.model.config import ModelConfig
from segcode.model.features import Pyramid
from segcode.tensors import Uncertainty


class UncertaintyHead(nn.Module):
    """b > 0 at full resolution: the deviation of the noise on a pixel's logits (Eq. 3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layer = nn.Conv2d(config.channels(1), 1, 1)

    def forward(self, features: Pyramid) -> Uncertainty:
        return functional.softplus(self.layer(features[1])) + 1e-4
