"""One image as an affine function of the code: logits = S0 + J c."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from segcode.model.features import Pyramid
from segcode.model.linear_decoder import ConditionedLayer
from segcode.model.segcode import SegCode
from segcode.tensors import Code, ImageBatch, Pixels


@dataclass(frozen=True)
class Linearised:
    """S0, and J in its factors: J at a pixel p is A_p Z_p, which the decoder's last layer and code path give.

    The full Jacobian (pixels x M x N numbers, a gigabyte for 360 x 480 with 11 classes and N = 128) is never built.

    Attributes:
        base: S0, the logits of zero code.
        code_maps: Z, what each unit code adds before the last layer, at the stride where the code path ends.
        features: of the image at full resolution, from which the last layer sets A.
        last: that layer.
        uncertainty: b.
    """

    base: Float[Tensor, "M H W"]
    code_maps: Float[Tensor, "N R h w"]
    features: Float[Tensor, "1 C H W"]
    last: ConditionedLayer
    uncertainty: Float[Tensor, "H W"]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the grid that all of this lives on."""
        return self.base.shape[1], self.base.shape[2]

    @property
    def code_size(self) -> int:
        """N."""
        return len(self.code_maps)

    def logits(self, codes: Code) -> Float[Tensor, "k M H W"]:
        """Full maps S0 + J c of codes (k, N)."""
        maps = torch.einsum("kn,nrhw->krhw", codes, self.code_maps)
        return self.base + self.last(maps, self.features)

    def logits_at(self, code: Float[Tensor, "N"], pixels: Pixels) -> Float[Tensor, "n M"]:
        """S0 + J c at pixels, without J."""
        maps = sampled(torch.einsum("n,nrhw->rhw", code, self.code_maps), pixels, self.size)
        return self.base_at(pixels) + (self._mixing(pixels) @ maps[:, :, None])[:, :, 0]

    def base_at(self, pixels: Pixels) -> Float[Tensor, "n M"]:
        """S0 at pixels."""
        return self.base[:, pixels[:, 0], pixels[:, 1]].T

    def jacobian(self, pixels: Pixels) -> Float[Tensor, "n M N"]:
        """J at pixels: the derivative of each logit by each number of the code."""
        if len(pixels) == 0:
            return self.base.new_zeros(0, len(self.base), self.code_size)
        maps = sampled(self.code_maps.flatten(0, 1), pixels, self.size).unflatten(1, self.code_maps.shape[:2])
        return self._mixing(pixels) @ maps.transpose(1, 2)

    def _mixing(self, pixels: Pixels) -> Float[Tensor, "n M R"]:
        """A at pixels."""
        return self.last.matrix_at(self.features[0, :, pixels[:, 0], pixels[:, 1]].T)


def sampled(maps: Float[Tensor, "C h w"], pixels: Pixels, size: tuple[int, int]) -> Float[Tensor, "n C"]:
    """Values that bilinear resampling of the maps to rows x columns would give at some of its pixels."""
    # Rows of a matrix, gathered and mixed: many times faster than grid_sample for thousands of channels.
    height, width = maps.shape[1:]
    cells = maps.flatten(1).T.contiguous()
    top, bottom, down = _neighbours(pixels[:, 0].to(maps.device), size[0], height)
    left, right, across = _neighbours(pixels[:, 1].to(maps.device), size[1], width)
    above = torch.lerp(cells[top * width + left], cells[top * width + right], across)
    below = torch.lerp(cells[bottom * width + left], cells[bottom * width + right], across)
    return torch.lerp(above, below, down)


def _neighbours(places: Integer[Tensor, "n"], size: int, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """The cells before and after pixels along one side, and how far, 0..1, the way to the second is gone."""
    exact = ((places + 0.5) * cells / size - 0.5).clamp(0, cells - 1)
    before = exact.long()
    return before, (before + 1).clamp(max=cells - 1), (exact - before)[:, None]


@torch.no_grad()
def linearise(model: SegCode, image: ImageBatch) -> Linearised:
    """Linearise a model in evaluation mode at one image (1, 3, H, W) in 0..1."""
    return linearise_at(model, model.features(image))


def linearise_at(model: SegCode, features: Pyramid) -> Linearised:
    """Linearise a model at the features of one image; gradients pass through."""
    codes = torch.eye(model.config.code_size, device=features[1].device)
    return Linearised(
        base=model.decoder.base(features)[0],
        code_maps=model.decoder.code_maps(features, codes),
        features=features[1],
        last=model.decoder.of_code.last,
        uncertainty=model.uncertainty(features)[0, 0],
    )
