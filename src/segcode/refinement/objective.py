"""What a refinement minimises: the truth's misfit and the prior of the code.

    E(c) = sum_i w_i e_i(c) + sum_j h_j KL(S0_j || S_j(c)) + 1/2 (c - m)^T D (c - m)

Pixel i has logits z_i = S0_i + J_i c, p = softmax(z_i), and a set A of allowed classes (one class where it is known);
q is p restricted to A and normalised, the one-hot T_i of Eq. 7 where A has one member. Then

    cross-entropy   e = -log sum_{k in A} p_k     gradient  p - q
    Euclidean       e = |p - q|^2                 residual  p - q   (Sect. 3, Eq. 7 and 8)

so both energies are made of one vector, p - q. The second sum holds the map as far as truth leaves it: the first
prediction is what the image says, and a code that overthrows it in many places is the less likely for that, however
short it is. Near zero code this adds the map's Fisher information to D, so it is a prior of the code that depends on
the image (learning without forgetting, Li and Hoiem 2016, has the same term for a network's weights). The prior has
the mean m and the diagonal precision D; the model's own, c ~ N(0, I), has 0 and I. The weights w add up to the number
of independent pixels that the truth is worth, not to the number of its pixels: neighbours err together.

A known class is held as a first prediction is: either is KL(q || p) for a q that stays, one-hot or S0. The second
derivative of such a term is a sum of J_i^T H(p_i) J_i with H(p) = diag(p) - p p^T, that is of p_ik d d^T over pixels
and classes, where d = J_ik - sum_m p_im J_im. Most of these products are next to nothing, for the map is sure of most
pixels: the matrix that a step is computed with does without them, while value and gradient are exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.tensors import AllowedClasses

NEGLIGIBLE = 1e-3
"""Of w p (1 - p), for a step's matrix: beside the standard prior's 1 in every direction, it lacks at most so much times
|d|^2 for a class of a pixel."""


class Prior(NamedTuple):
    """A Gaussian over codes: what is known of the code before any truth."""

    mean: Float[Tensor, "N"]
    precision: Float[Tensor, "N"]

    @staticmethod
    def standard(code_size: int, device: torch.device | None = None) -> Prior:
        """N(0, I)."""
        return Prior(torch.zeros(code_size, device=device), torch.ones(code_size, device=device))


@dataclass(frozen=True)
class Term(ABC):
    """A weighed sum, over some pixels, of a misfit of their logits S0 + J c.

    Attributes:
        base: S0 at the pixels.
        jacobian: J at the pixels.
        weight: what each pixel counts.
    """

    base: Float[Tensor, "n M"]
    jacobian: Float[Tensor, "n M N"]
    weight: Float[Tensor, "n"]

    @abstractmethod
    def misfit(self, logits: Float[Tensor, "*k n M"]) -> Float[Tensor, "*k n"]:
        """At each pixel."""

    @abstractmethod
    def slope(self, logits: Float[Tensor, "n M"]) -> Float[Tensor, "n M"]:
        """Its derivative by the logits."""

    @abstractmethod
    def curvature(self, logits: Float[Tensor, "n M"], negligible: float = 0.0) -> Float[Tensor, "N N"]:
        """The sum's second derivative by the code, or the Gauss-Newton matrix in its place."""

    def estimate(self, logits: Float[Tensor, "n M"], negligible: float = 0.0) -> Float[Tensor, "N N"]:
        """The same, roughly, where that is known without a sum."""
        return self.curvature(logits, negligible)

    def logits(self, code: Float[Tensor, "N"]) -> Float[Tensor, "n M"]:
        """S0 + J c."""
        return self.base + self.jacobian @ code


@dataclass(frozen=True)
class Divergence(Term):
    """KL(q || p): of a known class, q one-hot, this is the cross-entropy; of the first prediction, what holds it.

    Attributes:
        target: q.
        known: what the curvature is about, if that was computed before: it changes little while S stays near S0.
    """

    target: Float[Tensor, "n M"]
    known: Float[Tensor, "N N"] | None = None

    def misfit(self, logits: Float[Tensor, "*k n M"]) -> Float[Tensor, "*k n"]:
        return logits.logsumexp(-1) - (self.target * logits).sum(-1) - self._entropy

    def slope(self, logits: Float[Tensor, "n M"]) -> Float[Tensor, "n M"]:
        return logits.softmax(1) - self.target

    def curvature(self, logits: Float[Tensor, "n M"], negligible: float = 0.0) -> Float[Tensor, "N N"]:
        return _spread(logits.softmax(1), self.jacobian, self.weight, negligible)

    def estimate(self, logits: Float[Tensor, "n M"], negligible: float = 0.0) -> Float[Tensor, "N N"]:
        return super().estimate(logits, negligible) if self.known is None else self.known

    @cached_property
    def _entropy(self) -> Float[Tensor, "n"]:
        return -torch.xlogy(self.target, self.target).sum(-1)


@dataclass(frozen=True)
class AmongAllowed(Term):
    """-log sum_{k in A} p_k, for "this is not road" as for "this is road or sidewalk".

    Attributes:
        allowed: A.
    """

    allowed: AllowedClasses

    def misfit(self, logits: Float[Tensor, "*k n M"]) -> Float[Tensor, "*k n"]:
        return logits.logsumexp(-1) - _only(self.allowed, logits).logsumexp(-1)

    def slope(self, logits: Float[Tensor, "n M"]) -> Float[Tensor, "n M"]:
        return logits.softmax(1) - _only(self.allowed, logits).softmax(1)

    def curvature(self, logits: Float[Tensor, "n M"], negligible: float = 0.0) -> Float[Tensor, "N N"]:
        """With a = sum of p over A, the second derivative by the logits is H(p) - H(q). We take H(p) - a H(q), which is
        never indefinite: the Fisher information of "one of A". It is H(p) once J is averaged over A.
        """
        p, q = logits.softmax(1), _only(self.allowed, logits).softmax(1)
        averaged = torch.where(self.allowed[..., None], q[:, None] @ self.jacobian, self.jacobian)
        return _spread(p, averaged, self.weight, negligible)


@dataclass(frozen=True)
class EuclideanDistance(Term):
    """|p - q|^2, the paper's misfit; its residual has the derivative H(p) - H(q).

    Attributes:
        allowed: A.
    """

    allowed: AllowedClasses

    def misfit(self, logits: Float[Tensor, "*k n M"]) -> Float[Tensor, "*k n"]:
        return (logits.softmax(-1) - _only(self.allowed, logits).softmax(-1)).square().sum(-1)

    def slope(self, logits: Float[Tensor, "n M"]) -> Float[Tensor, "n M"]:
        residual = logits.softmax(1) - _only(self.allowed, logits).softmax(1)
        return 2 * self._derivative(logits, residual[..., None])[..., 0]  # by a derivative that is symmetric

    def curvature(self, logits: Float[Tensor, "n M"], negligible: float = 0.0) -> Float[Tensor, "N N"]:
        columns = self._derivative(logits, self.jacobian)
        return columns.flatten(0, 1).T @ (2 * self.weight[:, None, None] * columns).flatten(0, 1)

    def _derivative(self, logits: Float[Tensor, "n M"], columns: Float[Tensor, "n M k"]) -> Float[Tensor, "n M k"]:
        p, q = logits.softmax(1), _only(self.allowed, logits).softmax(1)
        return _covariance(p, columns) - _covariance(q, columns)


@dataclass(frozen=True)
class Objective:
    """E(c).

    Attributes:
        terms: the sums over pixels.
        prior: m and D.
        told: so many entries of truth are in the terms.
    """

    terms: tuple[Term, ...]
    prior: Prior
    told: int

    def at(self, code: Float[Tensor, "N"]) -> Point:
        """E around a code."""
        return Point(self, code, tuple(term.logits(code) for term in self.terms))

    def energy(self, code: Float[Tensor, "*k N"], logits: Sequence[Float[Tensor, "*k _ M"]]) -> Float[Tensor, "*k"]:
        """E of codes, by the logits of each term there."""
        away = code.double() - self.prior.mean
        energy = 0.5 * away.square() @ self.prior.precision.double()
        for term, at_code in zip(self.terms, logits, strict=True):
            energy = energy + term.misfit(at_code).double() @ term.weight.double()
        return energy

    def gap(self, gradient: Float[Tensor, "N"]) -> float:
        """A bound of E(c) - min E, by the gradient at c.

        A convex E is as curved as its prior at least, hence E(c) - min E <= 1/2 g^T D^-1 g: strict for cross-entropy
        on known classes, a good guess for the other energies.
        """
        return 0.5 * float((gradient.square() / self.prior.precision).sum())


@dataclass(frozen=True)
class Point:
    """E around a code. What J makes of the code is asked for once: J is large, and most of the work is to read it.

    Attributes:
        objective: E.
        code: c.
        logits: S0 + J c at the pixels of each term.
    """

    objective: Objective
    code: Float[Tensor, "N"]
    logits: tuple[Float[Tensor, "_ M"], ...]

    @property
    def value(self) -> float:
        """E(c)."""
        return float(self.objective.energy(self.code, self.logits))

    @property
    def gradient(self) -> Float[Tensor, "N"]:
        """dE/dc."""
        prior = self.objective.prior
        gradient = prior.precision * (self.code - prior.mean)
        for term, logits in self._terms:
            slope = term.weight[:, None] * term.slope(logits)
            gradient = gradient + slope.flatten() @ term.jacobian.flatten(0, 1)
        return gradient

    def matrix(self, negligible: float = 0.0) -> Float[Tensor, "N N"]:
        """The Gauss-Newton matrix of E, positive definite, for the prior adds D.

        Products with w p (1 - p) below `negligible` are left out.
        """
        return self._with_prior(term.curvature(logits, negligible) for term, logits in self._terms)

    def estimate(self, negligible: float = 0.0) -> Float[Tensor, "N N"]:
        """The same, roughly: of a term whose curvature is about known, that is taken."""
        return self._with_prior(term.estimate(logits, negligible) for term, logits in self._terms)

    def towards(self, step: Float[Tensor, "N"]) -> Ray:
        """The codes c + t d for a step d."""
        return Ray(self, step, tuple(term.jacobian @ step for term in self.objective.terms))

    def _with_prior(self, curvatures: Iterable[Float[Tensor, "N N"]]) -> Float[Tensor, "N N"]:
        matrix = sum(curvatures, start=self.objective.prior.precision.diag())
        return 0.5 * (matrix + matrix.T)

    @property
    def _terms(self) -> Iterator[tuple[Term, Float[Tensor, "_ M"]]]:
        return zip(self.objective.terms, self.logits, strict=True)


@dataclass(frozen=True)
class Ray:
    """E along a step d from a code c: of J d there is one product, however many lengths are tried.

    Attributes:
        start: c.
        step: d.
        slopes: J d at the pixels of each term.
    """

    start: Point
    step: Float[Tensor, "N"]
    slopes: tuple[Float[Tensor, "_ M"], ...]

    def values(self, lengths: Float[Tensor, "k"]) -> Float[Tensor, "k"]:
        """E(c + t d) for lengths t."""
        return self.start.objective.energy(
            self.start.code + lengths[:, None] * self.step, self._logits(lengths[:, None, None])
        )

    def at(self, length: float) -> Point:
        """E around c + t d."""
        return Point(self.start.objective, self.start.code + length * self.step, self._logits(length))

    def _logits(self, length: float | Float[Tensor, "k 1 1"]) -> tuple[Float[Tensor, "*k _ M"], ...]:
        pairs = zip(self.start.logits, self.slopes, strict=True)
        return tuple(logits + length * slope for logits, slope in pairs)


def _only(allowed: AllowedClasses, logits: Float[Tensor, "*k n M"]) -> Float[Tensor, "*k n M"]:
    return logits.masked_fill(~allowed, -torch.inf)


def _spread(
    p: Float[Tensor, "n M"], jacobian: Float[Tensor, "n M N"], weight: Float[Tensor, "n"], negligible: float
) -> Float[Tensor, "N N"]:
    """sum_i w_i J_i^T H(p_i) J_i, as the spread of the rows of J around their mean."""
    share = weight[:, None] * p
    rows = (share * (1 - p) >= negligible).flatten().nonzero()[:, 0]
    mean = (p[:, None] @ jacobian)[:, 0]
    away = jacobian.flatten(0, 1).index_select(0, rows) - mean.index_select(0, rows // p.shape[1])
    return away.T @ (share.flatten()[rows, None] * away)


def _covariance(p: Float[Tensor, "n M"], columns: Float[Tensor, "n M k"]) -> Float[Tensor, "n M k"]:
    """H(p) = diag(p) - p p^T, applied to each column at each pixel."""
    weighted = p[..., None] * columns
    return weighted - p[..., None] * weighted.sum(1, keepdim=True)
