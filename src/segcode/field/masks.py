"""The posterior mode from many labelled cells: a diagonal update of the precision, factorised once.

With a mask there are thousands of labelled cells, too many for a matrix between them. The energy is a sum of the
likelihood, which joins the classes of one cell, and of the prior, which joins the cells of one class. The alternating
direction method of multipliers (Boyd et al. 2011) takes them in turn. With r a small share of W at the labelled cells,

    u = argmin l(S0 + f_P + u) + (C^-1 f)_P u + r/2 u^2        at each cell,
    (C^-1 + diag(r)) d = r u - (C^-1 f outside of P),      f <- f + t d      for each class,

so that one factorisation serves all steps and all classes; t is the best of a few lengths. Any r leads to the mode;
with one near the second derivative of the likelihood at the mode, three steps do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.field.likelihood import Observations, softmax
from segcode.field.precision import Precision

LENGTHS: Final = (0.5, 1.0, 2.0, 3.0)
"""Steps that are tried, as multiples of d."""

SURE: Final = 0.01
"""r by W of a cell among others of its label: roughly p (1 - p), the second derivative where it is 99 % sure."""

ALONE: Final = 0.2
"""What is added to it for a cell that has no neighbour of its label."""

INNER: Final = 5
"""Steps of Newton's method at each cell."""

LONGEST: Final = 4.0
"""How far a logit may go in one of these: the likelihood is nearly linear far from its minimum."""


@dataclass(frozen=True)
class GridMode:
    """Where the energy is least.

    Attributes:
        field: of each class at each cell.
        steps: that were taken.
        converged: whether the last step lowered the energy by less than the share asked for.
    """

    field: Float[ndarray, "c M"]
    steps: int
    converged: bool


def find_mode_on_grid(
    base: Float[ndarray, "n M"],
    observations: Observations,
    precision: Precision,
    start: Float[ndarray, "c M"] | None = None,
    share: float = 1e-2,
    max_steps: int = 3,
) -> GridMode:
    """Minimise l(S0 + f_P) + 1/2 sum_m f_m^T C^-1 f_m over the fields of all classes.

    Args:
        base: S0 at the labelled cells.
        observations: the labels.
        precision: of the field.
        start: a field to begin with; 0 by default.
        share: stop when a step lowers the energy by less than this share of it. The labelled pixels themselves are
            written into the map, and the rest of the map follows the first steps.
        max_steps: at most.
    """
    cells, total = observations.cells, observations.total
    diagonal = np.zeros(len(precision.grid))
    diagonal[cells] = total * _curvature(observations, precision)
    factor = precision.plus(diagonal)
    zero = np.zeros((len(precision.grid), base.shape[1]))
    field = zero if start is None else start
    pulled = precision.times(field)
    now = observations.value(base + field[cells]) + 0.5 * float((field * pulled).sum())
    if (from_zero := observations.value(base)) < now:  # the start is for other labels
        field, pulled, now = zero, zero, from_zero
    for step in range(1, max_steps + 1):
        right = -pulled
        right[cells] = _forces(base + field[cells], observations, pulled[cells], diagonal[cells])
        towards = factor.solve(right)
        across = precision.times(towards)
        linear, square = float((towards * pulled).sum()), float((towards * across).sum())
        prior, at_cells = 0.5 * float((field * pulled).sum()), base + field[cells]
        costs = [
            observations.value(at_cells + t * towards[cells]) + prior + t * linear + 0.5 * t * t * square
            for t in LENGTHS
        ]
        best = int(np.argmin(costs))
        if costs[best] >= now:
            return GridMode(field, step, True)
        field, pulled = field + LENGTHS[best] * towards, pulled + LENGTHS[best] * across
        before, now = now, costs[best]
        if before - now <= share * now:
            return GridMode(field, step, True)
    return GridMode(field, max_steps, False)


def _curvature(observations: Observations, precision: Precision) -> Float[ndarray, "n"]:
    """R by W: the smaller, the more of a cell's neighbours have its label, by the weights of their edges."""
    label = np.full(len(precision.grid), -1)
    label[observations.cells[observations.place]] = observations.allowed.argmax(1)
    first, second = precision.grid.neighbours
    alike = precision.weights * ((label[first] == label[second]) & (label[first] >= 0))
    joined, of_label = (
        np.bincount(first, weights, len(label)) + np.bincount(second, weights, len(label))
        for weights in (precision.weights, alike)
    )
    share = of_label / np.maximum(joined, 1e-12)
    return SURE + ALONE * (1 - share[observations.cells])


def _forces(
    logits: Float[ndarray, "n M"],
    observations: Observations,
    pulled: Float[ndarray, "n M"],
    diagonal: Float[ndarray, "n"],
) -> Float[ndarray, "n M"]:
    """R u at each labelled cell.

    A set of classes A counts as its classes q of now, -log p(A) <= -q log p + const (an EM step). The second derivative
    is W (diag(p) - p p^T) + r, which Sherman and Morrison's formula inverts.
    """
    linear = (observations.slope(logits) - observations.total[:, None] * softmax(logits) + pulled).T.astype(np.float32)
    weight, start = observations.total.astype(np.float32), np.ascontiguousarray(logits.T, np.float32)
    ridge, moved = diagonal.astype(np.float32), np.zeros_like(start)
    for _ in range(INNER):
        p = start + moved
        p = np.exp(p - p.max(0))
        p /= p.sum(0)
        inverse = 1 / (weight * p + ridge)
        step = inverse * (linear + weight * p + ridge * moved)
        step += inverse * p * (weight * (p * step).sum(0) / (ridge * (p * inverse).sum(0)))
        moved -= step * np.minimum(1, LONGEST / np.maximum(np.abs(step).max(0), 1e-12))
    return (ridge * moved).T
