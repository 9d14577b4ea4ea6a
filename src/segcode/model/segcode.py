"""SegCode: the wiring of Fig. 1."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from segcode.batches import ImageBatch, Known, Logits, Uncertainty
from segcode.data.resize import as_many, resize_image, scaled
from segcode.exposure import brightened
from segcode.model.config import ModelConfig
from segcode.model.efficientnet_features import EfficientNetFeatures
from segcode.model.features import Backbone, Pyramid, UNet
from segcode.model.huggingface_features import HuggingFaceFeatures
from segcode.model.label_encoder import LabelEncoder
from segcode.model.linear_decoder import LinearDecoder
from segcode.model.linearisation import Linearisation
from segcode.prediction import InitialPrediction
from segcode.resampling import resize
from segcode.tensors import Image


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
    """An image-conditioned variational auto-encoder of segmentation maps, S = f(I, c); a `Segmenter`.

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
        features = self.see(image)
        return self.reconstruct(self.decoder.base(features), features, known)

    def see(self, image: ImageBatch) -> Pyramid:
        """Features of images in 0..1, those that are darker than the configuration's `least_luma` brightened."""
        features: Pyramid = self.features(brightened(image, self.config.least_luma))
        return features

    def reconstruct(self, base_logits: Float[Tensor, "B M h w"], features: Pyramid, known: Known) -> Reconstruction:
        """The same from S0(I) and image features, which nothing sees if the code sees the prediction."""
        seen = self.seen_by_code(base_logits, features)
        code = self.label_encoder(known, base_logits, seen, self.decoder.linear)  # q(c | L, I)
        drawn = code.rsample() if self.training else code.mean
        added, uncertainty = self.decoder.linear(seen, drawn), self.uncertainty(seen)
        size = base_logits.shape[2:]
        return Reconstruction(base_logits, base_logits + resize(added, size), resize(uncertainty, size), code)

    def seen_by_code(self, base_logits: Logits, features: Pyramid, cells: tuple[int, int] | None = None) -> Pyramid:
        """The features that code path, label encoder and b are conditioned on, with `cells` at the finest."""
        if self.prediction_features is None:
            return features
        rows, columns = base_logits.shape[2:]
        cells = cells or as_many((rows, columns), self.config.code_cells)
        seen: Pyramid = self.prediction_features(resize(base_logits.detach().float(), cells).softmax(1))
        return seen

    @torch.inference_mode()
    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """The initial prediction of an RGB image (H, W, 3) of bytes is that of zero code (Eq. 6); J is the code path.

        The network, put into evaluation mode, sees the image scaled to as many pixels as its training images had, the
        aspect ratio kept.
        """
        pixels = torch.from_numpy(resize_image(image, *as_many((image.shape[0], image.shape[1]), self.config.size)))
        batch = pixels.to(next(self.parameters()).device).permute(2, 0, 1)[None].float() / 255
        linearised = self.eval().linearise(batch)
        return InitialPrediction(linearised.base_logits.cpu().numpy(), code=linearised, b=linearised.b.cpu().numpy())

    @torch.no_grad()
    def linearise(
        self, image: ImageBatch, mirrored: Float[Tensor, "1 3 _ _"] | None = None, cells: tuple[int, int] | None = None
    ) -> Linearisation:
        """Logits around zero code at one image (1, 3, H, W) in 0..1, in evaluation mode.

        Args:
            image: its pixels.
            mirrored: its mirror image at the scale of the configuration's `mirrored_view`; made if not given.
            cells: of what the code sees, where that is the prediction; as many as `code_cells` if not given.
        """
        features = self.see(image)
        base_logits = self.decoder.base(features)
        if scale := self.config.mirrored_view:
            view = _mirrored_view(image, scale) if mirrored is None else mirrored
            base_logits = _mean(base_logits, self.decoder.base(self.see(view)).flip(3))
        seen = self.seen_by_code(base_logits, features, cells)
        b = resize(self.uncertainty(seen), base_logits.shape[2:])[0, 0]
        return Linearisation(base_logits[0], features, seen, self.decoder, b)

    @torch.no_grad()
    def encode_truth(self, image: Linearisation, known: Known) -> Float[Tensor, "N"]:
        """The mean code that the label encoder gives known labels (1, 2 M, H, W) of a linearised image."""
        given = known, image.base_logits[None], image.seen
        code: Tensor = self.label_encoder(*given, self.decoder.linear).mean[0]
        return code


def _mirrored_view(image: ImageBatch, scale: float) -> Float[Tensor, "1 3 _ _"]:
    size = scaled((image.shape[2], image.shape[3]), scale)
    return functional.interpolate(image.flip(3), size, mode="bilinear", antialias=True)


def _mean(first: Float[Tensor, "1 M h w"], second: Float[Tensor, "1 M _ _"]) -> Float[Tensor, "1 M h w"]:
    """The logarithm of the mean of two maps' probabilities, on the grid of the first."""
    both = torch.stack([first.log_softmax(1), resize(second, first.shape[2:]).log_softmax(1)])
    return both.logsumexp(0) - math.log(2)


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
