"""SegCode: the wiring of Fig. 1."""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from segcode.model.config import ModelConfig
from segcode.model.efficientnet_features import EfficientNetFeatures
from segcode.model.features import Backbone, Pyramid, UNet
from segcode.model.huggingface_features import HuggingFaceFeatures
from segcode.model.label_encoder import LabelEncoder
from segcode.model.linear_decoder import LinearDecoder
from segcode.resampling import resize
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
        prediction_features: UNet | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.decoder = decoder
        self.label_encoder = label_encoder
        self.uncertainty = uncertainty
        self.prediction_features = prediction_features
        self.config = config

    def forward(self, image: ImageBatch, known: Known) -> Reconstruction:
        """Encode known labels, draw a code, decode it; images in 0..1. Evaluation takes the mean for the draw."""
        features = self.features(image)
        return self.reconstruct(self.decoder.base(features), features, known)

    def reconstruct(self, base_logits: Float[Tensor, "B M h w"], features: Pyramid, known: Known) -> Reconstruction:
        """The same from S0(I) and image features, which nothing sees if the code sees the prediction."""
        seen = self.seen_by_code(base_logits, features)
        code = self.label_encoder(known, base_logits, seen)  # q(c | L, I)
        drawn = code.rsample() if self.training else code.mean
        added, uncertainty = self.decoder.linear(seen, drawn), self.uncertainty(seen)
        size = base_logits.shape[2:]
        return Reconstruction(base_logits, base_logits + resize(added, size), resize(uncertainty, size), code)

    def seen_by_code(self, base_logits: Logits, features: Pyramid) -> Pyramid:
        """The features that code path, label encoder and b are conditioned on."""
        if self.prediction_features is None:
            return features
        rows, columns = base_logits.shape[2:]
        cells = as_many((rows, columns), self.config.code_cells)
        seen: Pyramid = self.prediction_features(resize(base_logits.detach().float(), cells).softmax(1))
        return seen


def build_segcode(config: ModelConfig) -> SegCode:
    """The network of a configuration, with random weights: a backbone and the heads that fit its features."""
    features: Backbone
    if config.backbone == "unet":
        features = UNet(config.width)
    elif config.backbone == "efficientnet_lite0":
        features = EfficientNetFeatures(config.width)
    else:
        features = HuggingFaceFeatures(config.huggingface, config.width)
    of_prediction = None
    if config.code_sees == "prediction":
        of_prediction = UNet(config.code_width, (0.0,) * config.classes, (1.0,) * config.classes)
    seen = features if of_prediction is None else of_prediction
    return SegCode(
        features,
        decoder=LinearDecoder(features, seen, config),
        label_encoder=LabelEncoder(seen, config),
        uncertainty=UncertaintyHead(seen),
        config=config,
        prediction_features=of_prediction,
    )


def as_many(size: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns with the aspect ratio of `size` and about as many cells as `cells`."""
    scale = math.sqrt(math.prod(cells) / math.prod(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
