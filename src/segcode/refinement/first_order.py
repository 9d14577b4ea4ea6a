"""First-order baselines on the same energy, by PyTorch: what the second-order solvers are measured against."""

from __future__ import annotations

from jaxtyping import Float
from numpy import ndarray

from segcode.refinement.config import Stopping
from segcode.refinement.objective import Objective
from segcode.refinement.solution import Solution, StopReason


def adam(objective: Objective, start: Float[ndarray, "N"], stopping: Stopping) -> Solution:
    """Adam (Kingma and Ba 2015) with steps of 0.05; the best code on its way is kept."""
    import torch

    code, best = torch.tensor(start), start
    optimiser = torch.optim.Adam([code], lr=0.05)
    here = objective.at(start)
    costs = [here.value]
    for _ in range(stopping.steps):
        if stopping.met(costs[-1], here.gap):
            return Solution(best, tuple(costs), StopReason.CONVERGED)
        code.grad = torch.from_numpy(here.gradient)
        optimiser.step()
        here = objective.at(code.numpy().copy())
        if here.value < costs[-1]:
            best = here.code
            costs.append(here.value)
    return Solution(best, tuple(costs), StopReason.STEP_LIMIT)


def lbfgs(objective: Objective, start: Float[ndarray, "N"], stopping: Stopping) -> Solution:
    """Limited-memory BFGS with a strong Wolfe line search (Liu and Nocedal 1989), PyTorch's own."""
    import torch

    code = torch.tensor(start)
    optimiser = torch.optim.LBFGS([code], max_iter=1, max_eval=25, tolerance_grad=0.0, line_search_fn="strong_wolfe")
    here = objective.at(start)
    costs = [here.value]

    def evaluate() -> float:
        tried = objective.at(code.numpy())
        code.grad = torch.from_numpy(tried.gradient)
        return tried.value

    for _ in range(stopping.steps):
        if stopping.met(costs[-1], here.gap):
            return Solution(here.code, tuple(costs), StopReason.CONVERGED)
        optimiser.step(evaluate)
        there = objective.at(code.numpy().copy())
        if there.value >= costs[-1]:
            return Solution(here.code, tuple(costs), StopReason.STALLED)
        here = there
        costs.append(here.value)
    return Solution(here.code, tuple(costs), StopReason.STEP_LIMIT)
