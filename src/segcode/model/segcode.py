"""SegCode: the wiring of Fig. 1."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn
from torch.distributions import Normal
from torch.nn import functional

from segcode.model.config import ModelConfig
from segcode.model.efficientnet_features import EfficientNetFeatures
from segcode.model.features import Backbone, Pyramid, UNet
from segcode.model.label_encoder import LabelEncoder
from segcode.model.linear_decoder import LinearDecoder
from segcode.tensors import ImageBatch, Known, Logits, Uncertainty


class UncertaintyHead(nn.Module):
    """b > 0 at the resolution of the logits: the deviation of the noise on them (Eq. 3)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.stride = backbone.strides[-1]
        self.layer = nn.Conv2d(backbone.out_channels[-1], 1, 1)

    def forward(self, features: Pyramid) -> Uncertainty:
        return functional.softplus(self.layer(features[self.stride])) + 1e-4


class Reconstruction(NamedTuple):
    """The output of a training step.

    Attributes:
        base_logits: the initial prediction S0(I), logits of zero code.
        logits: S', logits of a code drawn from the encoder's distribution.
        uncertainty: b.
        code: the encoder's distribution of the code, (B, N).
    """

    base_logits: Logits
    logits: Logits
    uncertainty: Uncertainty
    code: Normal


class SegCode(nn.Module):
    """An image-conditioned variational auto-encoder of segmentation maps, S = f(I, c).

    Args:
        config: what the parts were built from; it is saved with the weights.
    """

    def __init__(
        self,
        features: Backbone,
        decoder: LinearDecoder,
        label_encoder: LabelEncoder,
        uncertainty: UncertaintyHead,
        config: ModelConfig,
    ) -> None:
        super().__init__()
        self.features = features
        self.decoder = decoder
        self.label_encoder = label_encoder
        self.uncertainty = uncertainty
        self.config = config

    def forward(self, image: ImageBatch, known: Known) -> Reconstruction:
        """Encode known labels, draw a code, decode it; images in 0..1. Evaluation takes the mean for the draw."""
        features = self.features(image)
        base_logits = self.decoder.base(features)  # S0(I)
        code = self.label_encoder(known, base_logits, features)  # q(c | L, I)
        drawn = code.rsample() if self.training else code.mean
        logits = base_logits + self.decoder.linear(features, drawn)  # S' = S0 + J c
        return Reconstruction(base_logits, logits, self.uncertainty(features), code)


def build_segcode(config: ModelConfig) -> SegCode:
    """The network of a configuration, with random weights: a backbone and the heads that fit its features."""
    features = UNet(config.width) if config.backbone == "unet" else EfficientNetFeatures(config.width)
    return SegCode(
        features,
        decoder=LinearDecoder(features, config),
        label_encoder=LabelEncoder(features, config),
        uncertainty=UncertaintyHead(features),
        config=config,
    )
