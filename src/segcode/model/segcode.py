"""SegCode: the wiring of Fig. 1."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from segcode.model.config import ModelConfig
from segcode.model.evidence import Evidence
from segcode.model.features import Features, Pyramid
from segcode.model.label_encoder import CodeDistribution, LabelEncoder
from segcode.model.linear_decoder import LinearDecoder
from segcode.model.uncertainty import UncertaintyHead
from segcode.tensors import ImageBatch, Known, Logits, Uncertainty


class Reconstruction(NamedTuple):
    """What a training step sees.

    Attributes:
        zero: logits of zero code, S0(I).
        logits: logits of a code drawn from the encoder's distribution, S'.
        uncertainty: b.
        code: the encoder's distribution of it.
        features: of the images.
    """

    zero: Logits
    logits: Logits
    uncertainty: Uncertainty
    code: CodeDistribution
    features: Pyramid


class SegCode(nn.Module):
    """An image-conditioned variational auto-encoder of segmentation maps, S = f(I, c)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.features = Features(config)
        self.label_encoder = LabelEncoder(config)
        self.decoder = LinearDecoder(config)
        self.uncertainty = UncertaintyHead(config)
        self.evidence = Evidence(config)

    def forward(self, image: ImageBatch, known: Known) -> Reconstruction:
        """Encode what is known of the labels, draw a code, decode it; images in 0..1."""
        features = self.features(image)
        zero = self.decoder.base(features)
        code = self.label_encoder(known, zero, features)
        # A drawn code in training; its mean where the network is only looked at.
        drawn = code.sample() if self.training else code.mean
        return Reconstruction(
            zero, zero + self.decoder.linear(features, drawn), self.uncertainty(features), code, features
        )
