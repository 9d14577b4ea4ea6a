"""f-BRS, feature backpropagating refinement (Sofiiuk et al. 2020), at the last features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.evaluation.baselines.lbfgs import minimise
from segcode.evaluation.baselines.revealed import Revealed
from segcode.refinement.refiner import Refiner
from segcode.tensors import Image
from segcode.truth.truth import Truth


class FBRS:
    """A scale a and a bias b for each channel of the features f at full resolution, found anew for each truth.

        E(a, b) = mean misfit of the revealed pixels for the features a f + b  +  regulariser * (|a - 1|^2 + |b|^2)

    Args:
        regulariser: weight of how far scale and bias may leave 1 and 0.
    """

    name = "f-BRS"

    def __init__(self, regulariser: float = 0.3) -> None:
        self.regulariser = regulariser

    def begin(self, refiner: Refiner, image: Image) -> None:
        self._refiner = refiner

    def refine(self, truth: Truth) -> Float[Tensor, "M h w"]:
        revealed = Revealed.of(truth, self._refiner)
        channels = self._refiner.features[1].shape[1]
        change = minimise(lambda change: self._energy(change, revealed), torch.zeros(2, channels).to(revealed.weight))
        with torch.no_grad():
            return self._logits(change)[0]

    def _energy(self, change: Float[Tensor, "2 C"], revealed: Revealed) -> Float[Tensor, ""]:
        return revealed.misfit(self._logits(change))[0] + self.regulariser * change.square().sum()

    def _logits(self, change: Float[Tensor, "2 C"]) -> Float[Tensor, "1 M h w"]:
        """Zero code's logits for changed features; the code path, which ends at a coarser stride, does not see them."""
        scale, bias = change[:, :, None, None]
        features = self._refiner.features
        return self._refiner.model.decoder.base({**features, 1: (1 + scale) * features[1] + bias})
