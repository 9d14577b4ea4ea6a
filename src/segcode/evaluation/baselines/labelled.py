"""Code that rivals share: labelled cells of the network's grid, the loss of logits there, and L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcode.errors import ConfigError
from segcode.field.grid import Grid
from segcode.model.linearisation import Linearisation
from segcode.refinement.code_path import labelled_entries
from segcode.refinement.refiner import Refiner
from segcode.tensors import Pixels
from segcode.truth.truth import Truth

EVALUATIONS = 20
"""As Sofiiuk et al. (2020); a line search that has begun may add a few."""


@dataclass(frozen=True)
class LabelledCells:
    """Cells of the network's grid, the classes that each may be of, and weights."""

    pixels: Pixels
    allowed: Bool[Tensor, "n M"]
    weight: Float[Tensor, "n"]

    @staticmethod
    def of(truth: Truth, linearised: Linearisation) -> LabelledCells:
        """Truth at the size of the image."""
        grid = Grid(*linearised.base_logits.shape[1:])
        entries, device = labelled_entries(truth, grid), linearised.base_logits.device
        return LabelledCells(
            np.stack([entries.cells // grid.columns, entries.cells % grid.columns], axis=1),
            torch.from_numpy(entries.allowed).to(device),
            torch.from_numpy(entries.weight).float().to(device),
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def misfit(self, logits: Float[Tensor, "k M h w"]) -> Float[Tensor, "k"]:
        """The weighted sum of -log sum_{m in A} p_m over the cells, for each of k maps."""
        scores = logits[..., self.pixels[:, 0], self.pixels[:, 1]]
        chosen = scores.masked_fill(~self.allowed.T, -torch.inf)
        return (torch.logsumexp(scores, 1) - torch.logsumexp(chosen, 1)) @ self.weight


def linearised_by(refiner: Refiner) -> Linearisation:
    """The image of a refiner as its segcode model sees it. Raises ConfigError for another segmenter."""
    code = refiner.prediction.code
    if not isinstance(code, Linearisation):
        raise ConfigError("the rivals use the features of a segcode model: leave out --rivals, or give --model")
    return code


def minimise(energy: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """The point, of the shape of `start`, that limited-memory BFGS finds (Liu and Nocedal 1989), PyTorch's own.

    The energy gives a scalar. Gradients go to the point alone, never to a network's weights.
    """
    point = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([point], max_iter=EVALUATIONS, max_eval=EVALUATIONS, line_search_fn="strong_wolfe")

    def evaluate() -> float:
        with torch.enable_grad():
            cost = energy(point)
        (point.grad,) = torch.autograd.grad(cost, [point])
        return float(cost.detach())

    optimiser.step(evaluate)
    return point.detach()
