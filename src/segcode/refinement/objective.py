"""The energy of a code: the misfit of labelled pixels and the prior N(0, I).

    E(c) = sum_i w_i e_i(c) + 1/2 |c|^2

Entry i has logits z_i = S0_i + J_i c, p = softmax(z_i), and a set A of allowed classes (one class where it is known);
q is p restricted to A and normalised, the one-hot T_i of Eq. 7 where A has one member. Then

    cross-entropy   e = -log sum_{k in A} p_k     gradient  p - q
    Euclidean       e = |p - q|^2                 residual  p - q   (Sect. 3, Eq. 7 and 8)

so both energies are made of one vector, p - q.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.special import softmax


@dataclass(frozen=True)
class Objective(ABC):
    """E, for one of the two misfits e.

    Attributes:
        base: S0 at the pixel of each entry.
        jacobian: J there.
        weight: w, at least 0.
        allowed: A.
    """

    base: Float[ndarray, "n M"]
    jacobian: Float[ndarray, "n M N"]
    weight: Float[ndarray, "n"]
    allowed: Bool[ndarray, "n M"]

    @abstractmethod
    def misfit(self, logits: Float[ndarray, "*k n M"]) -> Float[ndarray, "*k n"]:
        """The misfit e of each entry."""

    @abstractmethod
    def slope(self, logits: Float[ndarray, "n M"]) -> Float[ndarray, "n M"]:
        """The derivative of e by the logits."""

    @abstractmethod
    def curvature(self, logits: Float[ndarray, "n M"]) -> Float[ndarray, "N N"]:
        """The second derivative of sum_i w_i e_i by the code, or the Gauss-Newton matrix in its place."""

    def at(self, code: Float[ndarray, "N"]) -> EnergyAt:
        """E around a code."""
        return EnergyAt(self, code, self.base + self.jacobian @ code)

    def energy(self, code: Float[ndarray, "*k N"], logits: Float[ndarray, "*k n M"]) -> Float[ndarray, "*k"]:
        """E of codes, from the logits that they give."""
        misfit = self.misfit(logits).astype(np.float64) @ self.weight
        return np.asarray(0.5 * np.square(code, dtype=np.float64).sum(-1) + misfit)

    def restricted(self, logits: Float[ndarray, "*k n M"]) -> Float[ndarray, "*k n M"]:
        """Logits with -inf at the classes that are not allowed: their softmax is q."""
        return np.where(self.allowed, logits, -np.inf)


class PartialLabelNLL(Objective):
    """-log sum_{k in A} p_k: the cross-entropy where the class is known; for "not road" or "road or sidewalk", too."""

    def misfit(self, logits: Float[ndarray, "*k n M"]) -> Float[ndarray, "*k n"]:
        return np.logaddexp.reduce(logits, -1) - np.logaddexp.reduce(self.restricted(logits), -1)

    def slope(self, logits: Float[ndarray, "n M"]) -> Float[ndarray, "n M"]:
        return softmax(logits, 1) - softmax(self.restricted(logits), 1)

    def curvature(self, logits: Float[ndarray, "n M"]) -> Float[ndarray, "N N"]:
        """sum_i w_i J_i^T (H(p) - a H(q)) J_i with H(p) = diag(p) - p p^T and a = sum of p over A.

        The second derivative has H(q) for a H(q), and may be indefinite. Both are the same where A is one class. This
        one is the Fisher information of "one of A": H(p) once J is averaged over A.
        """
        p, q = softmax(logits, 1), softmax(self.restricted(logits), 1)
        averaged = np.where(self.allowed[..., None], q[:, None] @ self.jacobian, self.jacobian)
        from_mean = _rows(averaged - p[:, None] @ averaged)
        return from_mean.T @ ((self.weight[:, None] * p).reshape(-1, 1) * from_mean)


class EuclideanDistance(Objective):
    """|p - q|^2, the paper's misfit; its residual p - q has the derivative H(p) - H(q)."""

    def misfit(self, logits: Float[ndarray, "*k n M"]) -> Float[ndarray, "*k n"]:
        return np.square(softmax(logits, -1) - softmax(self.restricted(logits), -1)).sum(-1)

    def slope(self, logits: Float[ndarray, "n M"]) -> Float[ndarray, "n M"]:
        residual = softmax(logits, 1) - softmax(self.restricted(logits), 1)
        return 2 * self._derivative(logits, residual[..., None])[..., 0]  # the derivative is symmetric

    def curvature(self, logits: Float[ndarray, "n M"]) -> Float[ndarray, "N N"]:
        """The Gauss-Newton matrix: 2 sum_i w_i R_i^T R_i with R_i the derivative of the residual by the code."""
        columns = self._derivative(logits, self.jacobian)
        return _rows(columns).T @ _rows(2 * self.weight[:, None, None] * columns)

    def _derivative(self, logits: Float[ndarray, "n M"], columns: Float[ndarray, "n M k"]) -> Float[ndarray, "n M k"]:
        p, q = softmax(logits, 1), softmax(self.restricted(logits), 1)
        return _covariance(p, columns) - _covariance(q, columns)


@dataclass(frozen=True)
class EnergyAt:
    """E around a code. J c is computed once: J is large, and most of the time goes into reading it.

    Attributes:
        objective: E.
        code: c.
        logits: S0 + J c.
    """

    objective: Objective
    code: Float[ndarray, "N"]
    logits: Float[ndarray, "n M"]

    @cached_property
    def value(self) -> float:
        """E(c)."""
        return float(self.objective.energy(self.code, self.logits))

    @cached_property
    def gradient(self) -> Float[ndarray, "N"]:
        """dE/dc."""
        slope = self.objective.weight[:, None] * self.objective.slope(self.logits)
        return self.code + slope.ravel() @ _rows(self.objective.jacobian)

    @cached_property
    def hessian(self) -> Float[ndarray, "N N"]:
        """The second derivative of E, or the Gauss-Newton matrix: at least I, the precision of the prior."""
        curvature = self.objective.curvature(self.logits)
        return np.eye(len(curvature), dtype=curvature.dtype) + 0.5 * (curvature + curvature.T)

    @property
    def gap(self) -> float:
        """1/2 |g|^2 >= E(c) - min E for a convex E, since its second derivative is at least I.

        The cross-entropy of known classes is convex; for the other energies this is an estimate.
        """
        return 0.5 * float(np.square(self.gradient).sum())

    def along(self, step: Float[ndarray, "N"], lengths: Float[ndarray, "k"]) -> Float[ndarray, "k"]:
        """E(c + t d) for lengths t of a step d: J d is computed once, however many are tried."""
        change = self.objective.jacobian @ step
        return self.objective.energy(self.code + lengths[:, None] * step, self.logits + lengths[:, None, None] * change)


def _rows(columns: Float[ndarray, "n M k"]) -> Float[ndarray, "_ k"]:
    return columns.reshape(-1, columns.shape[2])


def _covariance(p: Float[ndarray, "n M"], columns: Float[ndarray, "n M k"]) -> Float[ndarray, "n M k"]:
    """H(p) = diag(p) - p p^T, applied to each column."""
    weighted = p[..., None] * columns
    return weighted - p[..., None] * weighted.sum(1, keepdims=True)
