"""The posterior mode and covariance from a few labelled cells: Newton's method in the space of these cells.

Let u be the logits that field and code add at the n labelled cells, u ~ N(0, K) a priori, with K = C_PP for each class,
plus s^2 J_P J_P^T across classes where there is a code. The mode of the posterior minimises

    E(u) = l(S0 + u) + 1/2 u^T K^-1 u

which is convex where each entry allows one class. We write u = K a, so that K is never inverted and the field at every
other cell is C_:P a. A step of Newton's method solves (I + B K) a = B u - dl/dz with B the second derivative of l
(Rasmussen and Williams 2006, Algorithm 3.3). B is block diagonal by cell and K (without code) by class, so that for n
cells and M classes the cost is M inverses of n x n and one Cholesky factor. The code is a correction of rank N
(Woodbury), and so, of rank one each, are entries of several classes, whose part of B is that of `likelihood`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve

from segcode.field.closed_form import closed_form
from segcode.field.likelihood import Observations, softmax

SHARE = 1e-3
"""Newton's method stops when a step lowers the energy by less than this share of it: convergence is quadratic there."""

MAX_STEPS = 50

JITTER = 1e-9
"""Added to the diagonal of a matrix that is singular where the model is certain of a cell."""


@dataclass(frozen=True)
class Prior:
    """Covariance of what field and code add to the logits of n cells.

    Attributes:
        field: C_PP, the same for every class.
        code: s J_P, or None where there is no code.
    """

    field: Float[ndarray, "n n"]
    code: Float[ndarray, "n M N"] | None = None

    @cached_property
    def code_by_class(self) -> Float[ndarray, "M n N"]:
        """The code part s J_P by class, where there is a code."""
        assert self.code is not None
        return np.ascontiguousarray(self.code.transpose(1, 0, 2))

    def times(self, a: Float[ndarray, "n M *k"]) -> Float[ndarray, "n M *k"]:
        """K a."""
        added = product(self.field, a)
        return added if self.code is None else added + self.of_code(self.code_of(a))

    def code_of(self, a: Float[ndarray, "n M *k"]) -> Float[ndarray, "N *k"]:
        """The code, divided by s: (s J_P)^T a."""
        assert self.code is not None
        return self.code.reshape(-1, self.code.shape[2]).T @ a.reshape(-1, *a.shape[2:])

    def of_code(self, code: Float[ndarray, "N *k"]) -> Float[ndarray, "n M *k"]:
        """The part of a code, divided by s, in the logits: s J_P c."""
        assert self.code is not None
        return product(self.code, code)


@dataclass(frozen=True)
class Curvature:
    """I + B K at one u, factorised.

    Attributes:
        probability: p of each cell.
        total: W of each cell, of entries of one class: their second derivative is W (diag(p) - p p^T).
        places: the cell of each entry of several classes.
        sets: their vectors r: the curvature of each is r r^T.
        prior: K.
        inner: E_m = D_m^(1/2) (I + D_m^(1/2) C_PP D_m^(1/2))^-1 D_m^(1/2), with D_m = W p_m, for each class.
        outer: Cholesky factor of sum_m E_m.
    """

    probability: Float[ndarray, "n M"]
    total: Float[ndarray, "n"]
    places: Integer[ndarray, "r"]
    sets: Float[ndarray, "r M"]
    prior: Prior
    inner: Float[ndarray, "M n n"]
    outer: tuple[Float[ndarray, "n n"], bool]

    @staticmethod
    def at(logits: Float[ndarray, "n M"], observations: Observations, prior: Prior) -> Curvature:
        """The factorisation at logits S0 + u."""
        probability, total = softmax(logits), observations.of_one_class().total
        root = np.sqrt(total[:, None] * probability).T
        count = len(logits)
        systems = np.eye(count) + root[:, :, None] * prior.field * root[:, None, :]
        inner = root[:, :, None] * np.linalg.inv(systems) * root[:, None, :]
        summed = inner.sum(0)
        summed.flat[:: count + 1] += JITTER * (1.0 + summed.trace() / count)
        return Curvature(probability, total, *observations.rank_one(logits), prior, inner, cho_factor(summed))

    def weighted(self, x: Float[ndarray, "n M k"]) -> Float[ndarray, "n M k"]:
        """B x."""
        weighted = self._of_one_class(x)
        np.add.at(weighted, self.places, self.sets[..., None] * self._along_sets(x)[:, None])
        return weighted

    def noise(self, count: int, draw: np.random.Generator) -> Float[ndarray, "n M k"]:
        """Draws from N(0, B): of the gradient of the likelihood."""
        root = np.sqrt(self.probability)[..., None]
        white = draw.standard_normal((*self.probability.shape, count))
        across = root * (white - root * (root * white).sum(1, keepdims=True))
        noise = np.sqrt(self.total)[:, None, None] * across
        np.add.at(noise, self.places, self.sets[..., None] * draw.standard_normal((len(self.sets), 1, count)))
        return noise

    def solve(self, right: Float[ndarray, "n M k"]) -> Float[ndarray, "n M k"]:
        """(I + B K)^-1 times each of k columns."""
        solved = self._without_sets(right)
        if len(self.sets) == 0:
            return solved
        lowered = self._without_sets(self._columns())
        small = np.eye(len(self.sets)) + self._along_sets(self.prior.times(lowered))
        return solved - product(lowered, np.linalg.solve(small, self._along_sets(self.prior.times(solved))))

    def information(self) -> Float[ndarray, "n n"]:
        """The mean over classes of the blocks of (B^-1 + K)^-1, without the code: what labels take from C_PP."""
        blocks = self.inner - self.inner @ np.stack([cho_solve(self.outer, inner) for inner in self.inner])
        if len(self.sets) == 0:
            return blocks.mean(0)
        lowered = self._without_code(self._columns())
        reached = product(self.prior.field, lowered)
        small = np.eye(len(self.sets)) + self._along_sets(reached)
        taken = np.einsum("imr,jmr->ij", lowered, np.linalg.solve(small, lowered.transpose(0, 2, 1)).transpose(0, 2, 1))
        return blocks.mean(0) + taken / lowered.shape[1]

    def _of_one_class(self, x: Float[ndarray, "n M k"]) -> Float[ndarray, "n M k"]:
        p = self.probability[..., None]
        return self.total[:, None, None] * p * (x - (p * x).sum(1, keepdims=True))

    def _columns(self) -> Float[ndarray, "n M r"]:
        """The vectors of the sets, each at its cell."""
        columns = np.zeros((*self.probability.shape, len(self.sets)))
        columns[self.places, :, np.arange(len(self.sets))] = self.sets
        return columns

    def _along_sets(self, x: Float[ndarray, "n M k"]) -> Float[ndarray, "r k"]:
        """r^T x of each set."""
        return np.einsum("rm,rmk->rk", self.sets, x[self.places])

    def _without_sets(self, right: Float[ndarray, "n M k"]) -> Float[ndarray, "n M k"]:
        solved = self._without_code(right)
        if self.prior.code is None:
            return solved
        code = np.linalg.solve(self._code_system, self.prior.code_of(solved))
        return solved - self._taken(self.prior.of_code(code))

    def _without_code(self, right: Float[ndarray, "n M k"]) -> Float[ndarray, "n M k"]:
        return right - self._taken(product(self.prior.field, right))

    def _taken(self, x: Float[ndarray, "n M k"]) -> Float[ndarray, "n M k"]:
        """(B^-1 + K)^-1 x without code and sets: E - E R (R^T E R)^-1 R^T E, with R the sum over classes."""
        inner = self.inner @ x.transpose(1, 0, 2)
        return (inner - self.inner @ cho_solve(self.outer, inner.sum(0))).transpose(1, 0, 2)

    @cached_property
    def _code_system(self) -> Float[ndarray, "N N"]:
        """I + (s J_P)^T (B^-1 + K)^-1 s J_P: that of all classes needs no product as large as s J_P but E s J_P."""
        code = self.prior.code_by_class
        inner = self.inner @ code
        summed = inner.sum(0)
        within = code.reshape(-1, code.shape[2]).T @ inner.reshape(-1, code.shape[2])
        return np.eye(code.shape[2]) + within - summed.T @ cho_solve(self.outer, summed)


@dataclass(frozen=True)
class Mode:
    """The field at which the energy is least.

    Attributes:
        dual: a, with u = K a.
        logits: S0 + u.
        steps: of Newton's method.
        converged: False if `MAX_STEPS` did not suffice.
        observations: the labels.
        prior: K.
    """

    dual: Float[ndarray, "n M"]
    logits: Float[ndarray, "n M"]
    steps: int
    converged: bool
    observations: Observations
    prior: Prior

    @cached_property
    def curvature(self) -> Curvature:
        """I + B K at the mode, for draws and covariances."""
        return Curvature.at(self.logits, self.observations, self.prior)


def find_mode(
    base: Float[ndarray, "n M"],
    observations: Observations,
    prior: Prior,
    share: float = SHARE,
) -> Mode:
    """Minimise E by Newton's method with step halving, from the closed form.

    Args:
        base: S0 at the labelled cells.
        observations: the labels.
        prior: K at the labelled cells.
        share: stop when a step lowers the energy by less than this share of it.
    """

    def energy(a: Float[ndarray, "n M"], u: Float[ndarray, "n M"]) -> float:
        return observations.value(base + u) + 0.5 * float((a * u).sum())

    def energy_along(a: ndarray, u: ndarray, towards: ndarray, along: ndarray, length: float) -> float:
        return energy(a + length * towards, u + length * along)

    a = closed_form(base, observations, prior.field)
    u = prior.times(a)
    if (now := energy(a, u)) > (zero := observations.value(base)):
        a, u, now = np.zeros_like(base), np.zeros_like(base), zero
    for step in range(1, MAX_STEPS + 1):
        curvature = Curvature.at(base + u, observations, prior)
        right = curvature.weighted(u[..., None])[..., 0] - observations.slope(base + u)
        towards = curvature.solve(right[..., None])[..., 0] - a
        along = prior.times(towards)
        length = _length(partial(energy_along, a, u, towards, along), now)
        a, u = a + length * towards, u + length * along
        before, now = now, energy(a, u)
        if before - now <= share * abs(now):
            return Mode(a, base + u, step, True, observations, prior)
    return Mode(a, base + u, MAX_STEPS, False, observations, prior)


def product(matrix: Float[ndarray, "*rows n"], a: Float[ndarray, "n *k"]) -> Float[ndarray, "*rows *k"]:
    """The sum over the last axis of `matrix` and the first of `a`: `np.tensordot(matrix, a, 1)`, with less overhead."""
    summed: ndarray = matrix.reshape(-1, len(a)) @ a.reshape(len(a), -1)
    return summed.reshape(*matrix.shape[:-1], *a.shape[1:])


def _length(energy: Callable[[float], float], now: float) -> float:
    """The longest of 1, 1/2, 1/4, ... of a step that does not raise the energy; 0 if none does."""
    length = 1.0
    while energy(length) > now:
        length /= 2
        if length < 1e-6:
            return 0.0
    return length
