"""Gauss-Newton with a search along each step."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.refinement.config import Stopping
from segcode.refinement.objective import NEGLIGIBLE, Objective
from segcode.refinement.solution import Solution, Status

LENGTHS = (4.0, 2.0, 1.4, 1.0, 0.7, 0.5, 0.25, 0.1, 0.03, 0.01, 1e-3)
"""Of a step: longer ones than the model's are best where the energy gets flatter on the way."""

TRUSTED = 1.25
"""The matrix serves the next step, too, if the energy fell as it said, by a factor of at most so much."""


def gauss_newton(
    objective: Objective, start: Float[Tensor, "N"], stopping: Stopping, factor: Float[Tensor, "N N"] | None = None
) -> Solution:
    """Minimise E from a code on, at first with the matrix of an earlier problem if its factor is given, or an estimate.

    How far the minimum is, is then judged by that one, too, so the problems should be alike; an estimate is too stiff
    where much of what is held was told.

    E(c + d) is about E + g^T d + 1/2 d^T H d, which is least for H d = -g, by 1/2 g^T H^-1 g: when that is little
    enough, c is good enough. The model is local, but E along d is cheap to know, so the best of many lengths is taken.
    H is dear, so it is kept while it tells what happens. With cross-entropy on known classes this is Newton's method
    (Boyd and Vandenberghe 2004, ch. 9.5), a kept matrix that of Shamanskii (1967).
    """
    here = objective.at(start)
    costs = [here.value]
    lengths = torch.tensor(LENGTHS, dtype=start.dtype, device=start.device)
    lower = torch.linalg.cholesky(here.estimate(NEGLIGIBLE)) if factor is None else factor
    for _ in range(stopping.steps):
        gradient = here.gradient
        kept = lower is not None
        if lower is None:
            lower = torch.linalg.cholesky(here.matrix(NEGLIGIBLE))
        step = -torch.cholesky_solve(gradient[:, None], lower)[:, 0]
        gap = -0.5 * float(gradient @ step)
        if stopping.met(costs[-1], gap):
            return Solution(here.code, tuple(costs), Status.CONVERGED, lower)
        ray = here.towards(step)
        cost, best = ray.values(lengths).min(0)
        fallen, length = costs[-1] - float(cost), LENGTHS[int(best)]
        if fallen > 0:
            here = ray.at(length)
            costs.append(float(cost))
        elif not kept:
            return Solution(here.code, tuple(costs), Status.STALLED, lower)
        foretold = gap * length * (2 - length)
        if not foretold / TRUSTED <= fallen <= foretold * TRUSTED:
            factor, lower = lower, None
    return Solution(here.code, tuple(costs), Status.STEP_LIMIT, factor if lower is None else lower)
