"""The posterior of the logits given labels: its mode, and draws from Laplace's approximation around it.

    logits = S0 / T + field + J c / T,      field_m ~ N(0, C),      c ~ N(0, s^2 I)

with labels at cells of the grid. A few cells are solved for exactly (`newton`), many by a few steps of conjugate
gradients (`masks`), given a code; the covariance is then H^-1 of that module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from segcode.field.closed_form import closed_form, leads, rise
from segcode.field.likelihood import Observations
from segcode.field.masks import Bound, GridMode, find_mode_on_grid
from segcode.field.newton import Mode, Prior, find_mode, product
from segcode.field.precision import Precision

MAX_DENSE_CELLS: Final = 128
"""Largest number of labelled cells whose covariance is solved as a dense matrix; more are cheaper on the grid."""

MAX_NEW_CELLS: Final = 32
"""The same of a preview given a mask, which changes all columns of the covariance. With 128 it is no nearer to the
refined map of strokes on CamVid val: 0.85 and 0.84 % of the pixels differ."""


@runtime_checkable
class CodeAtCells(Protocol):
    """The part of the code in the logits of cells: s J / T times a code in units of s."""

    @property
    def code_size(self) -> int:
        """N."""

    def jacobian(self, cells: ndarray) -> Float[ndarray, "n M N"]:
        """Return s J / T at some cells."""

    def times(self, code: Float[ndarray, "N"]) -> Float[ndarray, "c M"]:
        """Return s J c / T at all cells."""

    def explaining(self, observations: Observations, base: Float[ndarray, "c M"]) -> Float[ndarray, "N"]:
        """The code that explains many labels before the field does, given S0 / T at every cell."""


@dataclass(frozen=True)
class Draws:
    """Fields and codes drawn from the posterior.

    Attributes:
        field: the field of each draw, at every cell.
        code: the code of each draw, in units of s; None where there is no code.
    """

    field: Float[ndarray, "k c M"]
    code: Float[ndarray, "k N"] | None


@dataclass(frozen=True)
class Posterior:
    """The mode, and what draws from the posterior need.

    Attributes:
        precision: the prior of the field; outlines lower its edges.
        field: the mode of the field, at every cell.
        code: the mode of the code, in units of s; None where there is no code.
        steps: number of steps of the solver.
        converged: whether it stopped by itself.
    """

    precision: Precision
    field: Float[ndarray, "c M"]
    code: Float[ndarray, "N"] | None
    steps: int
    converged: bool
    _dense: Mode | None = None
    _on_grid: GridMode | None = None

    @staticmethod
    def prior(precision: Precision, classes: int, code_size: int | None) -> Posterior:
        """Without any label."""
        code = None if code_size is None else np.zeros(code_size)
        return Posterior(precision, np.zeros((len(precision.grid), classes)), code, 0, True)

    @property
    def nbytes(self) -> int:
        """Memory beside the precision, in bytes: of the mode, of factors, and of what lies between labelled cells."""
        between = 0 if self._dense is None else self._dense.prior.field.nbytes * self.field.shape[1]
        factor = None if self._on_grid is None else self._on_grid.factor
        return self.field.nbytes + between + (factor.result().nbytes if factor is not None and factor.done else 0)

    def draw(self, count: int, seed: int) -> Draws:
        """Draws around the mode (perturb and solve; with few labels by Matheron's rule)."""
        draw = np.random.default_rng(seed)
        cells, classes = self.field.shape
        if self._on_grid is not None:
            observations = self._on_grid.observations
            noise = self._on_grid.precision.noise(count * classes, draw)
            half = np.sqrt(observations.total / 2)
            noise[observations.cells] += half[:, None] * draw.standard_normal((len(half), count * classes))
            code = None if self.code is None else np.broadcast_to(self.code, (count, len(self.code)))
            return Draws(self.field + _by_draw(self._on_grid.factor.result().solve(noise), count), code)
        field = self.precision.sample(count * classes, draw).reshape(cells, count, classes)
        code = np.zeros((count, 0)) if self.code is None else draw.standard_normal((count, len(self.code)))
        if self._dense is not None:
            curvature, labelled = self._dense.curvature, self._dense.observations.cells
            at = field[labelled].transpose(0, 2, 1)  # n M k
            if curvature.prior.code is not None:
                at = at + curvature.prior.of_code(code.T)
            away = curvature.solve(curvature.weighted(at) + curvature.noise(count, draw))
            field = field - product(self.precision.covariance(labelled), away).transpose(0, 2, 1)
            if curvature.prior.code is not None:
                code = code - curvature.prior.code_of(away).T
        return Draws(self.field + field.transpose(1, 0, 2), None if self.code is None else self.code + code)

    @property
    def preview_cells(self) -> int:
        """The most cells that a preview follows from."""
        return MAX_DENSE_CELLS if self._on_grid is None else MAX_NEW_CELLS

    def covariance(self, cells: ndarray) -> Float[ndarray, "c k"]:
        """Columns of the field's posterior covariance, the mean over classes, at distinct cells; given the code."""
        if self._on_grid is not None:
            return self._on_grid.factor.result().columns(cells)
        if self._dense is None:
            return self.precision.covariance(cells)
        labelled = self._dense.observations.cells
        both = np.concatenate([labelled, np.setdiff1d(cells, labelled)])
        prior, order = self.precision.covariance(both), np.argsort(both)
        columns = prior[:, order[np.searchsorted(both, cells, sorter=order)]]
        return columns - prior[:, : len(labelled)] @ (self._dense.curvature.information() @ columns[labelled])


def condition(
    base: Float[ndarray, "c M"],
    precision: Precision,
    observations: Observations,
    path: CodeAtCells | None = None,
    settled: Callable[[], Bool[ndarray, "c"]] | None = None,
) -> Posterior:
    """The posterior given labels.

    Args:
        base: S0 / T at every cell.
        precision: the prior of the field.
        observations: the labels.
        path: the code path, where the model has one. With more than `MAX_DENSE_CELLS` labelled cells, the code is found
            first, and the field given it.
        settled: gives the cells inside a mask, with labelled cells all around them. The field beyond depends on theirs
            through those alone, so it is solved for without them. There it puts the label as far above other classes
            as it stands at most of the cells that were solved for.
    """
    if len(observations) == 0:
        return Posterior.prior(precision, base.shape[1], None if path is None else path.code_size)
    if len(observations) <= MAX_DENSE_CELLS:
        return _condition_densely(base, precision, observations, path)
    return _condition_on_grid(base, precision, observations, path, settled)


def preview(base: Float[ndarray, "c M"], prior: Posterior, observations: Observations) -> Float[ndarray, "c M"]:
    """The field in closed form, for a stroke that is still being drawn.

    It follows from at most `MAX_DENSE_CELLS` cells, evenly spread; given a mask, from `MAX_NEW_CELLS`. The posterior
    given earlier labels is the prior of later ones: `base` then has its field in it, and the field returned is added
    to that.
    """
    cells = prior.precision.grid.thinned(observations.cells, prior.preview_cells)
    observations = observations.at(cells)
    columns = prior.covariance(cells)
    raised = closed_form(base[cells], observations, columns[cells])
    field, classes = np.zeros_like(base), raised.any(0)  # a stroke raises one class
    field[:, classes] = columns @ raised[:, classes]
    return field


def _condition_densely(
    base: Float[ndarray, "c M"],
    precision: Precision,
    observations: Observations,
    path: CodeAtCells | None,
) -> Posterior:
    cells = observations.cells
    columns = precision.covariance(cells)
    prior = Prior(columns[cells], None if path is None else path.jacobian(cells))
    mode = find_mode(base[cells], observations, prior)
    return Posterior(
        precision,
        (mode.dual.T @ columns.T).T,
        None if path is None else prior.code_of(mode.dual),
        mode.steps,
        mode.converged,
        mode,
    )


class _System(NamedTuple):
    """What many labels mean for the solver, whatever the logits are.

    Attributes:
        outer: the labels that are solved for.
        inner: those inside masks.
        clear: the labelled cells whose labels neither contradict each other nor say nothing.
        free: the prior of the field without the cells of `inner`.
        bound: H, for `outer`.
    """

    outer: Observations
    inner: Observations
    clear: Bool[ndarray, "c"]
    free: Precision
    bound: Bound

    @staticmethod
    def of(
        precision: Precision, observations: Observations, settled: Callable[[], Bool[ndarray, "c"]] | None
    ) -> _System:
        """Choose the cells, and start to factorise."""
        cells, clear = observations.cells, observations.clear
        kept = np.ones(len(cells), bool)
        if settled is not None:
            kept = ~(settled()[cells] & clear)
            if not (kept & clear).any():  # every pixel is labelled
                kept[:] = True
        outer, inner = observations.at(cells[kept]), observations.at(cells[~kept])
        free = precision.without(np.isin(np.arange(len(precision.grid)), inner.cells)) if len(inner) else precision
        return _System(outer, inner, clear[kept], free, Bound(outer, free, len(cells) == len(precision.grid)))


def _condition_on_grid(
    base: Float[ndarray, "c M"],
    precision: Precision,
    observations: Observations,
    path: CodeAtCells | None,
    settled: Callable[[], Bool[ndarray, "c"]] | None,
) -> Posterior:
    system = _System.of(precision, observations, settled)
    code = None if path is None else path.explaining(observations, base)
    if path is not None and code is not None:
        base = base + path.times(code)
    outer, inner, clear, free, bound = system
    mode = find_mode_on_grid(base[outer.cells], outer, free, bound)
    field = mode.field.copy()
    if len(inner):
        lead = leads(base[outer.cells] + field[outer.cells], outer)[1]
        field[inner.cells] = rise(base[inner.cells], inner, float(np.median(lead[clear])))
    return Posterior(precision, field, code, mode.steps, mode.converged, None, mode)


def _by_draw(solved: Float[ndarray, "c _"], count: int) -> Float[ndarray, "k c M"]:
    return solved.reshape(len(solved), count, -1).transpose(1, 0, 2)
