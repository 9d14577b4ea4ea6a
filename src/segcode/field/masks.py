"""The posterior mode from many labelled cells: a diagonal update of the precision, factorised once.

With a mask there are thousands of labelled cells, too many for a matrix between them. The second derivative of the
likelihood at a cell is at most W/2 times the identity (Boehning 1992), for every class and all logits. So

    H = C^-1 + diag(W) / 2

is at least the second derivative of the energy for each class: a step H^-1 g never has to be shorter than 1 to lower
the energy (a minorise-maximise step), and one factorisation serves all steps and all classes. Near the edge of what is
certain the bound is loose, so longer steps are tried, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.field.likelihood import Observations
from segcode.field.precision import Factor, Precision

LENGTHS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Steps that are tried as long as each lowers the energy further, as multiples of the safe one."""


@dataclass(frozen=True)
class GridMode:
    """The field at which the energy is least.

    Attributes:
        field: of each class at each cell.
        precision: of the field.
        factor: of H.
        steps: that were taken.
        converged: whether the last step lowered the energy by less than the share asked for.
    """

    field: Float[ndarray, "c M"]
    precision: Precision
    factor: Factor
    steps: int
    converged: bool


def find_mode_on_grid(
    base: Float[ndarray, "n M"],
    observations: Observations,
    precision: Precision,
    share: float = 1e-2,
    max_steps: int = 4,
) -> GridMode:
    """Minimise l(S0 + f_P) + 1/2 sum_m f_m^T C^-1 f_m over the fields of all classes.

    Args:
        base: S0 at the labelled cells.
        observations: the labels.
        precision: of the field.
        share: stop when a step lowers the energy by less than this share of it. The labelled pixels themselves are
            written into the map, and the rest of the map follows the first steps.
        max_steps: at most.
    """
    cells = observations.cells
    bound = np.zeros(len(precision.grid))
    bound[cells] = observations.total / 2
    factor = precision.plus(bound)
    field = np.zeros((len(precision.grid), base.shape[1]))
    pulled, now = np.zeros_like(field), observations.value(base)
    for step in range(1, max_steps + 1):
        gradient = pulled.copy()
        gradient[cells] += observations.slope(base + field[cells])
        towards = -factor.solve(gradient)
        across = precision.times(towards)
        linear, square = float((towards * pulled).sum()), float((towards * across).sum())
        prior = 0.5 * float((field * pulled).sum())
        start, along, length, before = base + field[cells], towards[cells], 0.0, now
        for t in LENGTHS:
            cost = observations.value(start + t * along) + prior + t * linear + 0.5 * t * t * square
            if cost >= now:
                break
            length, now = t, cost
        field, pulled = field + length * towards, pulled + length * across
        if before - now <= share * now:
            return GridMode(field, precision, factor, step, True)
    return GridMode(field, precision, factor, max_steps, False)
