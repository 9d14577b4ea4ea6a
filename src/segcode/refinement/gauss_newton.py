"""Gauss-Newton with step halving."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.linalg import solve

from segcode.refinement.config import Stopping
from segcode.refinement.objective import Objective
from segcode.refinement.solution import Solution, Status

HALVINGS = 10


def gauss_newton(objective: Objective, start: Float[Tensor, "N"], stopping: Stopping) -> Solution:
    """Minimise E from a code on.

    E(c + d) is about E + g^T d + 1/2 d^T H d, which is least for H d = -g. The model is local, so d is halved until
    the cost does fall. With cross-entropy on known classes H is the exact second derivative: this is Newton's method.
    """
    code, at = start, objective.quadratic(start)
    costs = [at.value]
    for _ in range(stopping.steps):
        if stopping.met(at.value, at.gap):
            return Solution(code, tuple(costs), Status.CONVERGED)
        step = -solve(at.matrix, at.gradient)
        for halving in range(HALVINGS):
            shorter = code + step / 2**halving
            if objective.value(shorter) < at.value:
                break
        else:
            return Solution(code, tuple(costs), Status.STALLED)
        code, at = shorter, objective.quadratic(shorter)
        costs.append(at.value)
    return Solution(code, tuple(costs), Status.STEP_LIMIT)
