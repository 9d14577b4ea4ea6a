"""L-BFGS as the rivals use it: few evaluations, from a given start."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EVALUATIONS = 20
"""As Sofiiuk et al. (2020); a line search that has begun may add a few."""


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
