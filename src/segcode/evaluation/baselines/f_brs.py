"""f-BRS, feature backpropagating refinement (Sofiiuk et al. 2020), at the last features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from segcode.evaluation.baselines.labelled import LabelledCells, linearised_by, minimise
from segcode.refinement.refiner import Refiner
from segcode.tensors import Image
from segcode.truth.truth import Truth


class FBRS:
    """A scale a and a bias b for each channel of the finest features f, optimised for each truth.

        E(a, b) = mean misfit of the labelled cells for the features a f + b  +  regulariser * (|a - 1|^2 + |b|^2)

    Args:
        regulariser: weight of the distance of scale and bias from 1 and 0.
    """

    name = "f-BRS"

    def __init__(self, regulariser: float) -> None:
        self.regulariser = regulariser

    def begin(self, refiner: Refiner, image: Image) -> None:
        self._linearised = linearised_by(refiner)
        self._finest = self._linearised.decoder.of_zero.finest
        # Autograd refuses tensors that were made in inference mode.
        self._features = {stride: features.clone() for stride, features in self._linearised.features.items()}
        with torch.no_grad():
            self._of_views = self._linearised.base_logits - self._linearised.decoder.base(self._features)

    def refine(self, truth: Truth) -> Float[ndarray, "M h w"]:
        labelled = LabelledCells.of(truth, self._linearised)
        channels = self._features[self._finest].shape[1]
        mean = 1 / max(1e-12, float(labelled.weight.sum()))

        def energy(change: Tensor) -> Tensor:
            misfit: Tensor = mean * labelled.misfit(self._logits(change))[0]
            return misfit + self.regulariser * change.square().sum()

        change = minimise(energy, torch.zeros(2, channels, device=labelled.weight.device))
        with torch.no_grad():
            return self._logits(change)[0].cpu().numpy()

    def _logits(self, change: Float[Tensor, "2 C"]) -> Float[Tensor, "1 M h w"]:
        """The initial prediction's logits for changed features of the image; the mirrored view stays as it is."""
        scale, bias = change[:, :, None, None]
        changed = (1 + scale) * self._features[self._finest] + bias
        return self._of_views + self._linearised.decoder.base({**self._features, self._finest: changed})
