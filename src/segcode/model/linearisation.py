"""One image as an affine function of the code: logits = S0 + J c."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from segcode.model.features import Pyramid
from segcode.model.jacobian import Coarse, coarse_part, jacobian
from segcode.model.linear_decoder import LinearDecoder
from segcode.tensors import Pixels


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

    def added(self, codes: Float[ndarray, "k N"]) -> Float[ndarray, "k M _h _w"]:
        """J c of codes (k, N): what they add to S0."""
        with torch.no_grad():
            given = torch.from_numpy(np.asarray(codes, np.float32)).to(self.base_logits.device)
            return self.decoder.linear(self.seen, given, self._gates).cpu().numpy()

    @cached_property
    def _gates(self) -> list[Tensor | None]:
        return self.decoder.of_code.gates(self.seen)

    def jacobian(self, pixels: Pixels) -> Float[ndarray, "n M N"]:
        """J at pixels: the derivative of each logit by each number of the code."""
        return jacobian(self.decoder, self.seen, self._coarse, pixels).cpu().numpy()

    @cached_property
    def _coarse(self) -> Coarse:
        return coarse_part(self.decoder, self.seen)
