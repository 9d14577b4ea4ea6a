"""Levenberg-Marquardt: Gauss-Newton with a damping that follows how well the last model predicted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.linalg import solve

from segcode.refinement.config import Stopping
from segcode.refinement.objective import Objective
from segcode.refinement.solution import Solution, StopReason

FIRST_DAMPING = 1e-3
LARGEST_DAMPING = 1e8


def levenberg_marquardt(objective: Objective, start: Float[ndarray, "N"], stopping: Stopping) -> Solution:
    """Minimise E from a code.

    The step solves (H + m I) d = -g. The model promises to lower E by -g^T d - 1/2 d^T H d. If E falls at all the step
    is taken, and the damping m changes by max(1/3, 1 - (2 r - 1)^3) where r is the kept share of the promise; else m
    grows faster and faster (Nielsen 1999).
    """
    here = objective.at(start)
    costs = [here.value]
    damping, growth = FIRST_DAMPING, 2.0
    eye = np.eye(len(start), dtype=start.dtype)
    for _ in range(stopping.steps):
        if stopping.met(costs[-1], here.gap):
            return Solution(here.code, tuple(costs), StopReason.CONVERGED)
        step = -solve(here.hessian + damping * eye, here.gradient, assume_a="pos")
        there = objective.at(here.code + step)
        fallen = here.value - there.value
        if fallen > 0:
            promised = -float(here.gradient @ step + 0.5 * step @ here.hessian @ step)
            damping, growth = damping * max(1 / 3, 1 - (2 * fallen / promised - 1) ** 3), 2.0
            here = there
            costs.append(here.value)
        else:
            damping, growth = damping * growth, 2 * growth
        if damping > LARGEST_DAMPING:
            return Solution(here.code, tuple(costs), StopReason.STALLED)
    return Solution(here.code, tuple(costs), StopReason.STEP_LIMIT)
