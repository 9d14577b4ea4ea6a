"""One image as an affine function of the code: logits = S0 + J c."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from segcode.model.features import Pyramid
from segcode.model.linear_decoder import LinearDecoder
from segcode.model.segcode import SegCode
from segcode.tensors import Code, ImageBatch, Pixels


@dataclass(frozen=True)
class Linearised:
    """S0, and J where it is asked for.

    The full Jacobian (pixels x M x N numbers, a gigabyte for 360 x 480 with 11 classes and N = 128) is never built.

    Attributes:
        base: S0, the logits of zero code.
        features: of the image.
        decoder: leads from a code to what it adds.
        uncertainty: b.
    """

    base: Float[Tensor, "M H W"]
    features: Pyramid
    decoder: LinearDecoder
    uncertainty: Float[Tensor, "H W"]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the grid that all of this lives on."""
        return self.base.shape[1], self.base.shape[2]

    def remembering(self) -> Remembering:
        """The same, for many questions about nearly the same pixels."""
        return Remembering(self.base, self.features, self.decoder, self.uncertainty)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that it holds of the image."""
        return self.base, self.uncertainty, *self.features.values()

    def logits(self, codes: Code) -> Float[Tensor, "k M H W"]:
        """Full maps S0 + J c of codes (k, N)."""
        return self.decoder.linear(self.features, codes, self.base)

    def logits_at(self, code: Float[Tensor, "N"], pixels: Pixels) -> Float[Tensor, "n M"]:
        """S0 + J c at pixels, without J."""
        return self.base_at(pixels) + self.decoder.linear_at(self.features, code[:, None], pixels)[..., 0]

    def base_at(self, pixels: Pixels) -> Float[Tensor, "n M"]:
        """S0 at pixels."""
        return self.base[:, pixels[:, 0], pixels[:, 1]].T

    def jacobian(self, pixels: Pixels) -> Float[Tensor, "n M N"]:
        """J at pixels: the derivative of each logit by each number of the code."""
        return self.decoder.jacobian_at(self.features, pixels)


@dataclass
class Recall:
    """J at the pixels of the last question.

    Attributes:
        places: of the pixels, counted row by row, in rising order; at first one that is none.
        order: the row of `jacobian` for each.
        jacobian: J.
    """

    places: Integer[Tensor, "n"] = field(default_factory=lambda: torch.tensor([-1]))
    order: Integer[Tensor, "n"] = field(default_factory=lambda: torch.tensor([0]))
    jacobian: Float[Tensor, "n M N"] = field(default_factory=lambda: torch.zeros(1, 1, 1))


@dataclass(frozen=True)
class Remembering(Linearised):
    """Knows J where it was asked for last, for truth that grows asks for most of it again. No gradient passes."""

    recall: Recall = field(default_factory=Recall)

    @torch.no_grad()
    def jacobian(self, pixels: Pixels) -> Float[Tensor, "n M N"]:
        """J at pixels."""
        if len(pixels) == 0:
            return super().jacobian(pixels)
        last, places = self.recall, pixels[:, 0] * self.size[1] + pixels[:, 1]
        at = torch.searchsorted(last.places, places).clamp(max=len(last.places) - 1)
        new = last.places[at] != places
        if new.all():
            jacobian = super().jacobian(pixels)
        else:
            jacobian = last.jacobian.index_select(0, last.order[at].to(last.jacobian.device))  # faster than by brackets
            jacobian[new] = super().jacobian(pixels[new])
        last.places, last.order = places.sort()
        last.jacobian = jacobian
        return jacobian

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return *super().tensors, self.recall.jacobian


@torch.no_grad()
def linearise(model: SegCode, image: ImageBatch) -> Linearised:
    """Linearise a model in evaluation mode at one image (1, 3, H, W) in 0..1."""
    return linearise_at(model, model.features(image))


def linearise_at(model: SegCode, features: Pyramid) -> Linearised:
    """Linearise a model at the features of one image; gradients pass through."""
    return Linearised(
        base=model.decoder.base(features)[0],
        features=features,
        decoder=model.decoder,
        uncertainty=model.uncertainty(features)[0, 0],
    )
