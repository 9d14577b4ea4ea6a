"""One image as an affine function of the code: logits = S0 + J c."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from segcode.model import fast_decoder
from segcode.model.features import Pyramid
from segcode.model.linear_decoder import LinearDecoder
from segcode.model.segcode import SegCode
from segcode.tensors import Code, ImageBatch, Known, Pixels


@dataclass
class JacobianCache:
    """J at the cells of the last request. A truth that grows asks for most of them again.

    Attributes:
        cells: of the last request, numbered row by row, in rising order; at first one that no grid has.
        order: the row of `jacobian` for each.
    """

    cells: Integer[Tensor, "n"] = field(default_factory=lambda: torch.tensor([-1]))
    order: Integer[Tensor, "n"] = field(default_factory=lambda: torch.tensor([0]))
    jacobian: Float[Tensor, "n M N"] = field(default_factory=lambda: torch.zeros(1, 1, 1))

    def at(
        self, cells: Integer[Tensor, "m"], compute: Callable[[Bool[Tensor, "m"]], Float[Tensor, "new M N"]]
    ) -> Float[Tensor, "m M N"]:
        """J at cells (at least one); `compute` gives it at those that a mask selects."""
        found = torch.searchsorted(self.cells, cells).clamp(max=len(self.cells) - 1)
        new = self.cells[found] != cells
        if new.all():
            jacobian = compute(new)
        else:
            rows = self.order[found].to(self.jacobian.device)
            jacobian = self.jacobian.index_select(0, rows)  # faster than by brackets
            jacobian[new] = compute(new)
        self.cells, self.order = cells.sort()
        self.jacobian = jacobian
        return jacobian


@dataclass(frozen=True)
class Linearisation:
    """S0, and J at the pixels that are asked for. No gradient passes.

    The full Jacobian (pixels x M x N numbers, a gigabyte for 360 x 480 with 11 classes and N = 128) is never built.

    Attributes:
        base_logits: S0, the initial prediction.
        uncertainty: b.
        cache: J at the pixels of the last request.
    """

    base_logits: Float[Tensor, "M H W"]
    features: Pyramid
    decoder: LinearDecoder
    uncertainty: Float[Tensor, "H W"]
    cache: JacobianCache = field(default_factory=JacobianCache, repr=False, compare=False)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the grid of logits."""
        return self.base_logits.shape[1], self.base_logits.shape[2]

    @property
    def code_size(self) -> int:
        """N, the length of the code."""
        return self.decoder.grid.in_features

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that it keeps for the image, for counting memory."""
        return self.base_logits, self.uncertainty, *self.features.values(), self.cache.jacobian

    def logits(self, codes: Code) -> Float[Tensor, "k M H W"]:
        """Full maps S0 + J c of codes (k, N)."""
        return fast_decoder.logits(self.decoder, self.features, codes, self.base_logits)

    def jacobian(self, pixels: Pixels) -> Float[Tensor, "n M N"]:
        """J at pixels: the derivative of each logit by each number of the code. Do not write into it: it is kept."""
        if len(pixels) == 0:
            return fast_decoder.jacobian(self.decoder, self.features, pixels)
        cells = pixels[:, 0] * self.size[1] + pixels[:, 1]
        return self.cache.at(cells, lambda new: fast_decoder.jacobian(self.decoder, self.features, pixels[new]))


@torch.no_grad()
def linearise(model: SegCode, image: ImageBatch) -> Linearisation:
    """Linearise a model in evaluation mode at one image (1, 3, H, W) in 0..1."""
    features = model.features(image)
    return Linearisation(
        base_logits=fast_decoder.base_logits(model.decoder, features)[0],
        features=features,
        decoder=model.decoder,
        uncertainty=model.uncertainty(features)[0, 0],
    )


@torch.no_grad()
def encode_truth(model: SegCode, image: Linearisation, known: Known) -> Float[Tensor, "N"]:
    """The mean code that the label encoder gives known labels (1, 2 M, H, W) of a linearised image."""
    return model.label_encoder(known, image.base_logits[None], image.features).mean[0]
