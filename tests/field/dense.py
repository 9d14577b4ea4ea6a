"""The Gaussian model on a small grid, written out densely: what the sparse and low-rank code is checked against."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from segcode.field.grid import Grid
from segcode.field.likelihood import Observations
from segcode.field.precision import Precision

PULL, VARIANCE = 0.02, 1.5
GRID = Grid(5, 6)


def dense_precision(precision: Precision) -> ndarray:
    """Q / V, from its edges one by one."""
    matrix = precision.pull * np.eye(len(precision.grid))
    for first, second, weight in zip(*precision.grid.neighbours, precision.weights, strict=True):
        difference = np.zeros(len(matrix))
        difference[first], difference[second] = 1, -1
        matrix += weight * np.outer(difference, difference)
    return matrix / precision.variance


@dataclass(frozen=True)
class CodeOfScene:
    """A code path whose J is known at every cell."""

    everywhere: ndarray

    @property
    def code_size(self) -> int:
        return self.everywhere.shape[2]

    def jacobian(self, cells: ndarray) -> ndarray:
        return self.everywhere[cells]

    def times(self, code: ndarray) -> ndarray:
        return self.everywhere @ code

    def explaining(self, observations: Observations, base: ndarray) -> ndarray:
        """The code of least energy by itself."""

        def energy(code: ndarray) -> float:
            return observations.value((base + self.times(code))[observations.cells]) + 0.5 * float(code @ code)

        return minimize(energy, np.zeros(self.code_size)).x


@dataclass(frozen=True)
class Scene:
    """Cells with S0, labels and, for some, a code: E over the fields of all classes at all cells and the code.

    Attributes:
        base: S0, (c, M).
        precision: the prior of the field.
        observations: the labels.
        jacobian: s J at all cells, (c, M, N), or None.
    """

    base: ndarray
    precision: Precision
    observations: Observations
    jacobian: ndarray | None = None

    @property
    def path(self) -> CodeOfScene | None:
        return None if self.jacobian is None else CodeOfScene(self.jacobian)

    @property
    def prior_precision(self) -> ndarray:
        """The prior precision of all unknowns: fields row by row (cell, class), then the code."""
        classes, size = self.base.shape[1], 0 if self.jacobian is None else self.jacobian.shape[2]
        fields = np.kron(dense_precision(self.precision), np.eye(classes))
        prior = np.eye(len(fields) + size)
        prior[: len(fields), : len(fields)] = fields
        return prior

    @property
    def design(self) -> ndarray:
        """From the unknowns to what they add to the logits of all cells."""
        fields = np.eye(self.base.size)
        return fields if self.jacobian is None else np.hstack([fields, self.jacobian.reshape(self.base.size, -1)])

    def energy(self, x: ndarray) -> float:
        logits = self.logits(x)
        energy = 0.5 * x @ self.prior_precision @ x
        for cell, allowed, weight in self.entries:
            energy += weight * (logsumexp(logits[cell]) - logsumexp(logits[cell][allowed]))
        return energy

    def gradient(self, x: ndarray) -> ndarray:
        logits, slope = self.logits(x), np.zeros_like(self.base)
        for cell, allowed, weight in self.entries:
            slope[cell] += weight * (softmax(logits[cell]) - _restricted(logits[cell], allowed))
        return self.prior_precision @ x + self.design.T @ slope.ravel()

    def hessian(self, x: ndarray, bound: bool = False) -> ndarray:
        """The second derivative of E; with `bound`, that of the likelihood has W H(p) in place of W (H(p) - H(q))."""
        logits, curvature = self.logits(x), np.zeros((self.base.size, self.base.size))
        classes = self.base.shape[1]
        for cell, allowed, weight in self.entries:
            p, q = softmax(logits[cell]), _restricted(logits[cell], allowed)
            block = np.diag(p) - np.outer(p, p) - (not bound) * (np.diag(q) - np.outer(q, q))
            here = slice(cell * classes, (cell + 1) * classes)
            curvature[here, here] += weight * block
        return self.prior_precision + self.design.T @ curvature @ self.design

    def logits(self, x: ndarray) -> ndarray:
        return self.base + (self.design @ x).reshape(self.base.shape)

    def mode(self) -> ndarray:
        """By a trust-region Newton method on all unknowns, from zero."""
        start = np.zeros(len(self.prior_precision))
        found = minimize(self.energy, start, jac=self.gradient, hess=self.hessian, method="trust-exact")
        for _ in range(3):  # to the last digit
            found.x -= np.linalg.solve(self.hessian(found.x), self.gradient(found.x))
        assert np.abs(self.gradient(found.x)).max() < 1e-9
        return found.x

    def parts(self, x: ndarray) -> tuple[ndarray, ndarray]:
        """The fields (c, M) and the code."""
        return x[: self.base.size].reshape(self.base.shape), x[self.base.size :]

    @property
    def entries(self) -> list[tuple[int, ndarray, float]]:
        seen = self.observations
        return list(zip(seen.cells[seen.place], seen.allowed, seen.weight, strict=True))


def random_precision(grid: Grid, seed: int = 0) -> Precision:
    edges = len(grid.neighbours[0])
    return Precision(grid, np.random.default_rng(seed).uniform(0.01, 1, edges), PULL, VARIANCE)


def make_scene(
    seed: int, labels: int = 6, code_size: int = 0, sets: bool = False, grid: Grid = GRID, classes: int = 3
) -> Scene:
    """Random labels at distinct cells: one class each; with `sets`, classes that a cell is not of, too."""
    draw = np.random.default_rng(seed)
    cells = np.sort(draw.choice(len(grid), labels, replace=False))
    allowed = draw.integers(0, classes, labels)[:, None] == np.arange(classes)
    if sets:
        allowed[::2] ^= True
    observations = Observations(cells, np.arange(labels), allowed, draw.uniform(0.5, 3, labels))
    base = 2 * draw.standard_normal((len(grid), classes))
    jacobian = draw.standard_normal((len(grid), classes, code_size)) if code_size else None
    return Scene(base, random_precision(grid, seed), observations, jacobian)


def with_contradiction(scene: Scene) -> Scene:
    """The first labelled cell has a second label, of another class."""
    seen = scene.observations
    return replace(
        scene,
        observations=Observations(
            seen.cells,
            np.append(seen.place, 0),
            np.vstack([seen.allowed, np.roll(seen.allowed[0], 1)]),
            np.append(seen.weight, 0.7),
        ),
    )


def _restricted(logits: ndarray, allowed: ndarray) -> ndarray:
    return softmax(np.where(allowed, logits, -np.inf))
