"""One image as an affine function of the code: logits = S0 + J c."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from segcode.model.features import Pyramid
from segcode.model.jacobian import jacobian
from segcode.model.linear_decoder import LinearDecoder
from segcode.model.segcode import SegCode
from segcode.resampling import resize
from segcode.tensors import Code, ImageBatch, Known, Pixels


@dataclass(frozen=True)
class Linearisation:
    """S0, and J at the pixels that are asked for, a `CodePath`. No gradient passes.

    The full Jacobian (pixels x M x N numbers, a gigabyte for 360 x 480 with 11 classes and N = 128) is never built.

    Attributes:
        base_logits: S0, the initial prediction.
        features: of the image.
        seen: what the code path is conditioned on; the grid of its finest level is that of J.
        b: of Eq. 3.
    """

    base_logits: Float[Tensor, "M H W"]
    features: Pyramid
    seen: Pyramid
    decoder: LinearDecoder
    b: Float[Tensor, "H W"]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the grid of J."""
        finest = self.seen[self.decoder.of_code.finest]
        return finest.shape[2], finest.shape[3]

    @property
    def code_size(self) -> int:
        """N, the length of the code."""
        return self.decoder.grid.in_features

    def added(self, codes: Code) -> Float[Tensor, "k M _h _w"]:
        """J c of codes (k, N): what they add to S0."""
        with torch.no_grad():
            return self.decoder.linear(self.seen, codes)

    def jacobian(self, pixels: Pixels) -> Float[Tensor, "n M N"]:
        """J at pixels: the derivative of each logit by each number of the code."""
        return jacobian(self.decoder, self.seen, pixels)


@torch.no_grad()
def linearise(model: SegCode, image: ImageBatch) -> Linearisation:
    """Linearise a model in evaluation mode at one image (1, 3, H, W) in 0..1."""
    features = model.features(image)
    base_logits = model.decoder.base(features)
    if scale := model.config.mirrored_view:
        base_logits = _mean(base_logits, _mirrored_view(model, image, scale))
    seen = model.seen_by_code(base_logits, features)
    return Linearisation(
        base_logits=base_logits[0],
        features=features,
        seen=seen,
        decoder=model.decoder,
        b=resize(model.uncertainty(seen), base_logits.shape[2:])[0, 0],
    )


def _mirrored_view(model: SegCode, image: ImageBatch, scale: float) -> Float[Tensor, "1 M _ _"]:
    """S0 of the mirror image at another scale, mirrored back."""
    size = [max(1, round(scale * side)) for side in image.shape[2:]]
    seen = functional.interpolate(image.flip(3), size, mode="bilinear", antialias=True)
    logits: Tensor = model.decoder.base(model.features(seen)).flip(3)
    return logits


def _mean(first: Float[Tensor, "1 M h w"], second: Float[Tensor, "1 M _ _"]) -> Float[Tensor, "1 M h w"]:
    """The logarithm of the mean of two maps' probabilities, on the grid of the first."""
    both = torch.stack([first.log_softmax(1), resize(second, first.shape[2:]).log_softmax(1)])
    return both.logsumexp(0) - math.log(2)


@torch.no_grad()
def encode_truth(model: SegCode, image: Linearisation, known: Known) -> Float[Tensor, "N"]:
    """The mean code that the label encoder gives known labels (1, 2 M, H, W) of a linearised image."""
    return model.label_encoder(known, image.base_logits[None], image.seen).mean[0]
