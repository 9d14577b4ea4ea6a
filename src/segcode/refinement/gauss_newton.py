"""Gauss-Newton with a search along each step."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.refinement.config import Stopping
from segcode.refinement.objective import NEGLIGIBLE, Objective
from segcode.refinement.solution import Solution, Status

LENGTHS = tuple(2.0**power for power in (2, 1.5, 1, 0.5, 0, -0.5, -1, -2, -3, -4, -5, -6, -8, -10))
"""Of a step: longer than the model says where the energy is flatter than it seems from where it bends."""


def gauss_newton(objective: Objective, start: Float[Tensor, "N"], stopping: Stopping) -> Solution:
    """Minimise E from a code on.

    E(c + d) is about E + g^T d + 1/2 d^T H d, which is least for H d = -g, by 1/2 g^T H^-1 g: when that is little
    enough, c is good enough. The model is local, but E along d is cheap to know, so the best of many lengths is taken.
    With cross-entropy on known classes H is the second derivative: this is Newton's method with a line search (Boyd and
    Vandenberghe 2004, ch. 9.5).
    """
    code, costs = start, [objective.value(start)]
    lengths = torch.tensor(LENGTHS, dtype=start.dtype, device=start.device)
    for _ in range(stopping.steps):
        gradient, matrix = objective.gradient(code), objective.matrix(code, NEGLIGIBLE)
        step = -torch.cholesky_solve(gradient[:, None], torch.linalg.cholesky(matrix))[:, 0]
        if stopping.met(costs[-1], -0.5 * float(gradient @ step)):
            return Solution(code, tuple(costs), Status.CONVERGED)
        cost, best = objective.along(code, step, lengths).min(0)
        if not cost < costs[-1]:
            return Solution(code, tuple(costs), Status.STALLED)
        code = code + lengths[best] * step
        costs.append(float(cost))
    return Solution(code, tuple(costs), Status.STEP_LIMIT)
