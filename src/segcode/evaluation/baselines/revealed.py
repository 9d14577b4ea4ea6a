"""What the rivals are told: the truth on the network's grid, and how well logits explain it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.refinement.refiner import Refiner
from segcode.tensors import AllowedClasses, Pixels
from segcode.truth.truth import Truth


@dataclass(frozen=True)
class Revealed:
    """Pixels of the network's grid, the classes that each may be of, and how much each counts."""

    pixels: Pixels
    allowed: AllowedClasses
    weight: Float[Tensor, "n"]

    @staticmethod
    def of(truth: Truth, refiner: Refiner) -> Revealed:
        """Truth at the size of the image that is set in `refiner`, on its grid and its device."""
        small = truth.resized(refiner.linearised.size)
        return Revealed(*(column.to(refiner.device) for column in (small.pixels, small.allowed, small.weight)))

    def __len__(self) -> int:
        return len(self.pixels)

    def at(self, maps: Float[Tensor, "*k h w"]) -> Float[Tensor, "*k n"]:
        """Values of maps at the pixels."""
        return maps[..., self.pixels[:, 0], self.pixels[:, 1]]

    def misfit(self, logits: Float[Tensor, "k M h w"]) -> Float[Tensor, "k"]:
        """The weighted mean of -log sum_{k in A} p_k over the pixels, for each of k maps; 0 where nothing is known."""
        scores = self.at(logits)
        chosen = scores.masked_fill(~self.allowed.T, -torch.inf)
        return (torch.logsumexp(scores, 1) - torch.logsumexp(chosen, 1)) @ self._shares()

    def worth(self, evidence: float) -> Float[Tensor, "n"]:
        """What each pixel counts where n pixels count as evidence * n ** 0.5 independent ones.

        Neighbours err together; the root stands in for the exponent that segcode learns (`segcode.model.evidence`).
        """
        return evidence * self.weight.sum().sqrt() * self._shares()

    def _shares(self) -> Float[Tensor, "n"]:
        return self.weight / self.weight.sum().clamp(min=1e-12)
