"""First-order baselines on the same energy: what the second-order solvers are measured against."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.refinement.config import Stopping
from segcode.refinement.objective import Objective
from segcode.refinement.solution import Solution, Status


def adam(objective: Objective, start: Float[Tensor, "N"], stopping: Stopping) -> Solution:
    """Adam (Kingma and Ba 2015) with steps of 0.05; the best code on its way is kept."""
    code, best = start.clone(), start
    optimiser = torch.optim.Adam([code], lr=0.05)
    costs = [objective.at(start).value]
    for _ in range(stopping.steps):
        code.grad = objective.at(code).gradient
        if stopping.met(costs[-1], objective.gap(code.grad)):
            return Solution(best, tuple(costs), Status.CONVERGED)
        optimiser.step()
        cost = objective.at(code).value
        if cost < costs[-1]:
            best = code.clone()
            costs.append(cost)
    return Solution(best, tuple(costs), Status.STEP_LIMIT)


def lbfgs(objective: Objective, start: Float[Tensor, "N"], stopping: Stopping) -> Solution:
    """Limited-memory BFGS with a strong Wolfe line search (Liu and Nocedal 1989), PyTorch's own."""
    code = start.clone()
    optimiser = torch.optim.LBFGS([code], max_iter=1, max_eval=25, tolerance_grad=0.0, line_search_fn="strong_wolfe")
    costs = [objective.at(start).value]

    def evaluate() -> float:
        here = objective.at(code)
        code.grad = here.gradient
        return here.value

    for _ in range(stopping.steps):
        best = code.clone()
        if stopping.met(costs[-1], objective.gap(objective.at(best).gradient)):
            return Solution(best, tuple(costs), Status.CONVERGED)
        optimiser.step(evaluate)
        cost = objective.at(code).value
        if cost >= costs[-1]:
            return Solution(best, tuple(costs), Status.STALLED)
        costs.append(cost)
    return Solution(code, tuple(costs), Status.STEP_LIMIT)
