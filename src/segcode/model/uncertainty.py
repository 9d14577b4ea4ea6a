"""Features to b, the uncertainty of each pixel (Sect. 2.1, after Kendall and Gal 2017)."""

from __future__ import annotations

from torch import nn
from torch.nn import functional

from segcode.model.features import Backbone, Pyramid
from segcode.tensors import Uncertainty


class UncertaintyHead(nn.Module):
    """b > 0 at full resolution: the deviation of the noise on a pixel's logits (Eq. 3)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.stride = backbone.strides[-1]
        self.layer = nn.Conv2d(backbone.out_channels[-1], 1, 1)

    def forward(self, features: Pyramid) -> Uncertainty:
        return functional.softplus(self.layer(features[self.stride])) + 1e-4
