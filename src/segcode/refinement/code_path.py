"""The paper's refinement: optimise the code alone, until the map agrees with the labelled pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from segcode.errors import DataError, TruthError
from segcode.field.grid import Grid
from segcode.field.likelihood import softmax
from segcode.interpolation import resize
from segcode.prediction import InitialPrediction
from segcode.refinement.config import CodeConfig, Energy, Solver, Stopping
from segcode.refinement.first_order import adam, lbfgs
from segcode.refinement.gauss_newton import gauss_newton
from segcode.refinement.levenberg_marquardt import levenberg_marquardt
from segcode.refinement.objective import EuclideanDistance, Objective, PartialLabelNLL
from segcode.refinement.observations import observe
from segcode.refinement.solution import Solution
from segcode.truth.truth import Truth

SOLVERS: Final[dict[Solver, Callable[[Objective, Float[ndarray, "N"], Stopping], Solution]]] = {
    "gauss_newton": gauss_newton,
    "levenberg_marquardt": levenberg_marquardt,
    "adam": adam,
    "lbfgs": lbfgs,
}

ENERGIES: Final[dict[Energy, type[Objective]]] = {"cross_entropy": PartialLabelNLL, "euclidean": EuclideanDistance}


class CodeSolution(NamedTuple):
    """The map that a code gives.

    Attributes:
        logits: S0 + J c on the grid of the initial prediction, (M, h, w).
        solution: of the solver: the code, its costs and why it stopped.
    """

    logits: Float[ndarray, "M h w"]
    solution: Solution


class Entries(NamedTuple):
    """Cells of a grid, the classes that each may be of, and weights."""

    cells: Integer[ndarray, "n"]
    allowed: Bool[ndarray, "n M"]
    weight: Float[ndarray, "n"]


def optimise_code(prediction: InitialPrediction, truth: Truth, config: CodeConfig = CodeConfig()) -> CodeSolution:  # noqa: B008 - frozen
    """Minimise sum_i w_i e_i(c) + 1/2 |c|^2 over the code (Sect. 3), from zero code.

    Args:
        prediction: of a segmenter that has a code path, as its `predict` returned it.
        truth: labelled pixels of the image.
        config: the energy, the solver and how many pixels enter.

    Raises:
        DataError: if the segmenter has no code path.
        TruthError: if the truth is for other classes.
    """
    if prediction.code is None:
        raise DataError("the segmenter has no code path: give the prediction of a segcode model, or use Refiner")
    if truth.classes != len(prediction.base_logits):
        raise TruthError(f"the truth is for {truth.classes} classes, the segmenter has {len(prediction.base_logits)}")
    objective = build_objective(prediction, truth, config)
    start = np.zeros(prediction.code.code_size, np.float32)
    solution = SOLVERS[config.solver](objective, start, config.stopping)
    added = prediction.code.added(solution.code[None])[0]
    return CodeSolution(prediction.base_logits + resize(added, prediction.base_logits.shape[1:]), solution)


def build_objective(prediction: InitialPrediction, truth: Truth, config: CodeConfig) -> Objective:
    """E of a truth, from at most `config.pixels` entries, at the cells of the grid of J.

    The entries are those of labelled pixels; exhaustive classes are excluded at all other cells. Labelled entries keep
    at least half of the places, however many cells lie elsewhere.
    """
    assert prediction.code is not None
    grid = Grid(*prediction.code.size)
    table = resize(prediction.base_logits, grid.shape).reshape(len(prediction.base_logits), -1).T
    labelled, elsewhere = labelled_entries(truth, grid), excluded_entries(truth, grid)
    kept = draw(labelled, table, max(config.pixels - len(elsewhere.cells), -(-config.pixels // 2)))
    others = draw(elsewhere, table, config.pixels - len(kept.cells))
    cells, allowed, weight = (np.concatenate(pair) for pair in zip(kept, others, strict=True))
    jacobian = prediction.code.jacobian(np.stack([cells // grid.columns, cells % grid.columns], axis=1))
    return ENERGIES[config.energy](table[cells], jacobian, weight.astype(np.float32), allowed)


def labelled_entries(truth: Truth, grid: Grid) -> Entries:
    """The entries of a truth at the cells that their pixels lie in, equal ones of a cell merged."""
    observed = observe(replace(truth, exhaustive=np.zeros_like(truth.exhaustive)), grid, 1.0)
    return Entries(observed.cells[observed.place], observed.allowed, observed.weight)


def excluded_entries(truth: Truth, grid: Grid) -> Entries:
    """No exhaustive class is at a cell where no entry names one class; no entries if that leaves no class."""
    left = ~truth.exhaustive
    cells = np.arange(len(grid)) if truth.exhaustive.any() and left.any() else np.zeros(0, int)
    named = truth.pixels[truth.allowed.sum(1) == 1]
    cells = np.setdiff1d(cells, grid.cells_of(named, truth.size))
    return Entries(cells, np.broadcast_to(left, (len(cells), len(left))), np.ones(len(cells)))


def draw(entries: Entries, base: Float[ndarray, "c M"], limit: int) -> Entries:
    """At most `limit` entries, weighed so that sums over them are unbiased for sums over all; the same every time.

    Systematic sampling (Madow 1949), row by row. An entry is the more likely drawn, the more probability m S0 gives to
    classes that it does not allow, since most entries say what S0 says. The chance w (1 + m / mean m) keeps the weights
    of the drawn below twice those of an even draw (Hesterberg 1995).
    """
    if len(entries.cells) <= limit:
        return entries
    missed = np.where(entries.allowed, 0.0, softmax(base[entries.cells])).sum(1, dtype=np.float64)
    chance = entries.weight * (1 + missed / max(np.average(missed, weights=entries.weight), 1e-30))
    sums = chance.cumsum()
    places = (np.arange(limit) + 0.5) * sums[-1] / limit
    drawn, times = np.unique(np.searchsorted(sums, places), return_counts=True)
    weight = entries.weight[drawn] * times * sums[-1] / (limit * chance[drawn])
    return Entries(entries.cells[drawn], entries.allowed[drawn], weight)
