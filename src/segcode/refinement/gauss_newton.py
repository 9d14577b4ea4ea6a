"""Gauss-Newton with a line search."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve

from segcode.refinement.config import Stopping
from segcode.refinement.objective import Objective
from segcode.refinement.solution import Solution, StopReason

LENGTHS = (4.0, 2.0, 1.4, 1.0, 0.7, 0.5, 0.25, 0.1, 0.03, 0.01, 1e-3)
"""Lengths of a step that are tried. Those above 1 are best where the energy gets flatter along the step."""


def gauss_newton(objective: Objective, start: Float[ndarray, "N"], stopping: Stopping) -> Solution:
    """Minimise E from a code.

    E(c + d) is about E + g^T d + 1/2 d^T H d, which is least for H d = -g, by 1/2 g^T H^-1 g: when that is small
    enough, c is good enough. The model is local, but E along d is cheap, so the best of many lengths is taken. With
    the cross-entropy of known classes this is Newton's method (Boyd and Vandenberghe 2004, ch. 9.5).
    """
    here = objective.at(start)
    costs = [here.value]
    lengths = np.array(LENGTHS, start.dtype)
    for _ in range(stopping.steps):
        step = -cho_solve(cho_factor(here.hessian), here.gradient)
        if stopping.met(costs[-1], -0.5 * float(here.gradient @ step)):
            return Solution(here.code, tuple(costs), StopReason.CONVERGED)
        along = here.along(step, lengths)
        best = int(along.argmin())
        if along[best] >= costs[-1]:
            return Solution(here.code, tuple(costs), StopReason.STALLED)
        here = objective.at(here.code + LENGTHS[best] * step)
        costs.append(float(along[best]))
    return Solution(here.code, tuple(costs), StopReason.STEP_LIMIT)
