"""The posterior mode from many labelled cells: conjugate gradients, preconditioned by one factorisation.

With a mask there are thousands of labelled cells, too many for a matrix between them. The second derivative of the
likelihood at a cell is at most W/2 times the identity (Boehning 1992), for every class and all logits. So

    H = C^-1 + diag(W) / 2

is at least the second derivative of the energy for each class: a step -H^-1 g never has to be shorter than 1 to lower
the energy (majorise-minimise), and one factorisation serves all steps and all classes. The bound is loose where a class
is all but certain. So H is the preconditioner of conjugate gradients (Polak and Ribiere 1969, restarted as by
Gilbert and Nocedal 1992) with a line search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.field.likelihood import Observations
from segcode.field.precision import Factor, Precision
from segcode.field.threads import Later

LENGTH: Final = 4.0
"""The first length that a line search tries, as a multiple of the safe one."""

TRIES: Final = 3
"""Lengths that a line search tries at most. Each halves one that is too long, so that the last is at most 1, which is
safe along the steepest descent."""


@dataclass(frozen=True)
class GridMode:
    """The field at which the energy is least.

    Attributes:
        field: of each class at each cell.
        precision: of the field.
        factor: of H; the mode itself may not have needed it.
        steps: that were taken.
        converged: whether the last step lowered the energy by less than the share asked for.
        observations: the labels.
    """

    field: Float[ndarray, "c M"]
    precision: Precision
    factor: Later[Factor]
    steps: int
    converged: bool
    observations: Observations


class Bound:
    """H.

    Attributes:
        factor: of it.
        everywhere: whether each cell is labelled. Then H is little else than its diagonal, and needs no factor.
    """

    def __init__(self, observations: Observations, precision: Precision, everywhere: bool) -> None:
        """Start to factorise it."""
        self._half = np.zeros(len(precision.grid))
        self._half[observations.cells] = observations.total / 2
        self._precision, self.everywhere = precision, everywhere
        self.factor = Later(partial(precision.plus, self._half, np.float32))

    def solve(self, right: Float[ndarray, "n M"]) -> Float[ndarray, "n M"]:
        """H^-1 times each column; if each cell is labelled, about that, by two sweeps of Jacobi's method."""
        if not self.everywhere:
            return self.factor.result().solve(right)
        half = self._half[:, None]
        diagonal = self._precision.diagonal[:, None] + half
        first = right / diagonal
        return first + (right - self._precision.times(first) - half * first) / diagonal


def find_mode_on_grid(
    base: Float[ndarray, "n M"],
    observations: Observations,
    precision: Precision,
    bound: Bound,
    share: float = 1e-2,
    max_steps: int = 3,
) -> GridMode:
    """Minimise l(S0 + f_P) + 1/2 sum_m f_m^T C^-1 f_m over the fields of all classes; l is in single precision.

    Args:
        base: S0 at the labelled cells.
        observations: the labels.
        precision: of the field.
        bound: H.
        share: stop when a step lowers the energy by less than this share of it. The labelled pixels themselves are
            written into the map, and the rest of the map follows the first steps.
        max_steps: at most.
    """
    cells = observations.cells
    field = np.zeros((len(precision.grid), base.shape[1]))
    start = base.astype(np.float32)
    pulled, now = np.zeros_like(field), observations.value(start)
    towards, last, decrement = np.zeros_like(field), np.zeros_like(field), np.inf
    for step in range(1, max_steps + 1):
        gradient = pulled.copy()
        gradient[cells] += observations.slope(start)
        steepest = -bound.solve(gradient)
        conjugate = max(0.0, float(((last - gradient) * steepest).sum()) / decrement)
        towards = steepest + conjugate * towards
        last, decrement = gradient, -float((gradient * steepest).sum())
        across = precision.times(towards)
        linear, square = float((towards * pulled).sum()), float((towards * across).sum())
        prior = 0.5 * float((field * pulled).sum())
        along = towards[cells].astype(np.float32)

        def energy(t: float) -> float:
            return observations.value(start + t * along) + prior + t * linear + 0.5 * t * t * square  # noqa: B023

        before, (length, now) = now, _lowest(energy, now, float((towards * gradient).sum()))
        field, pulled, start = field + length * towards, pulled + length * across, start + length * along
        if length == 0 or decrement <= 0:  # the next step is a safe one again
            decrement = np.inf
        if before - now <= share * now and (length > 0 or conjugate == 0):
            return GridMode(field, precision, bound.factor, step, True, observations)
    return GridMode(field, precision, bound.factor, max_steps, False, observations)


def _lowest(energy: Callable[[float], float], now: float, slope: float) -> tuple[float, float]:
    """The length of a step with the lowest energy found, and that energy: 0 if none is below that of no step.

    Each try is the vertex of the parabola that has the slope at 0 and the energy of the try before; the first is
    `LENGTH`.
    """
    found, length = [(0.0, now)], LENGTH
    for _ in range(TRIES):
        cost = energy(length)
        found.append((length, cost))
        bend = (cost - now - slope * length) / length**2
        vertex = min(-slope / (2 * bend), 4 * length) if bend > 0 > slope else 4 * length
        if abs(vertex - length) < 0.2 * length:
            break
        length = vertex
    return min(found, key=lambda each: each[1])
