"""What a refinement minimises: the truth's misfit and the prior of the code.

    E(c) = sum_i w_i e_i(c) + sum_j h_j KL(S0_j || S_j(c)) + 1/2 (c - m)^T D (c - m)

Pixel i has logits z_i = S0_i + J_i c, p = softmax(z_i), and a set A of allowed classes (one class where it is known);
q is p restricted to A and normalised, the one-hot T_i of Eq. 7 where A has one member. Then

    cross-entropy   e = -log sum_{k in A} p_k     gradient  p - q
    Euclidean       e = |p - q|^2                 residual  p - q   (Sect. 3, Eq. 7 and 8)

so both energies are made of one vector, p - q. The second sum holds the map where nothing is told: the first
prediction is what the image says, and a code that overthrows it in many places is the less likely for that, however
short it is. Near zero code this adds the map's Fisher information to D, so it is a prior of the code that depends on
the image (learning without forgetting, Li and Hoiem 2016, has the same term for a network's weights). The prior has
the mean m and the diagonal precision D; the model's own, c ~ N(0, I), has 0 and I. The weights w add up to the number
of independent pixels that the truth is worth, not to the number of its pixels: neighbours err together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.refinement.config import Energy
from segcode.tensors import AllowedClasses


class Prior(NamedTuple):
    """A Gaussian over codes: what is known of the code before any truth."""

    mean: Float[Tensor, "N"]
    precision: Float[Tensor, "N"]

    @staticmethod
    def standard(code_size: int, device: torch.device | None = None) -> Prior:
        """N(0, I)."""
        return Prior(torch.zeros(code_size, device=device), torch.ones(code_size, device=device))


class Quadratic(NamedTuple):
    """The energy near a code: value, bound of the gap to its minimum, gradient, and Gauss-Newton matrix.

    The matrix is positive definite, for the prior adds D.
    """

    value: float
    gap: float
    gradient: Float[Tensor, "N"]
    matrix: Float[Tensor, "N N"]


@dataclass(frozen=True)
class Hold:
    """sum_j h_j KL(S0_j || S_j(c)): convex in the code, and least where the map is the first prediction.

    Attributes:
        base: S0 at the pixels.
        jacobian: J at the pixels.
        weight: h.
    """

    base: Float[Tensor, "k M"]
    jacobian: Float[Tensor, "k M N"]
    weight: Float[Tensor, "k"]

    def value(self, code: Float[Tensor, "N"]) -> Float[Tensor, ""]:
        """The sum at a code."""
        before, after = self.base.log_softmax(1), (self.base + self.jacobian @ code).log_softmax(1)
        return self.weight.double() @ (before.exp() * (before - after)).sum(1).double()

    def gradient(self, code: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """Its derivative by the code."""
        slope = (self.base + self.jacobian @ code).softmax(1) - self.base.softmax(1)
        return (self.weight[:, None] * slope).flatten() @ self.jacobian.flatten(0, 1)

    def matrix(self, code: Float[Tensor, "N"]) -> Float[Tensor, "N N"]:
        """Its second derivative."""
        right = _covariance((self.base + self.jacobian @ code).softmax(1), self.jacobian)
        return self.jacobian.flatten(0, 1).T @ (self.weight[:, None, None] * right).flatten(0, 1)


@dataclass(frozen=True)
class Objective:
    """E(c) for n pixels of one image.

    Attributes:
        base: S0 at the pixels.
        jacobian: J at the pixels.
        allowed: A, the classes that each pixel may be of.
        weight: w.
        prior: m and D.
        hold: of the first prediction; None for none.
        energy: which misfit e.
    """

    base: Float[Tensor, "n M"]
    jacobian: Float[Tensor, "n M N"]
    allowed: AllowedClasses
    weight: Float[Tensor, "n"]
    prior: Prior
    hold: Hold | None = None
    energy: Energy = "cross_entropy"

    def value(self, code: Float[Tensor, "N"]) -> float:
        """E(c)."""
        logits = self.base + self.jacobian @ code
        if self.energy == "cross_entropy":
            misfit = torch.logsumexp(logits, 1) - torch.logsumexp(logits.masked_fill(~self.allowed, -torch.inf), 1)
        else:
            p, q = self._probabilities(logits)
            misfit = (p - q).square().sum(1)
        away = code.double() - self.prior.mean
        total = self.weight.double() @ misfit.double() + 0.5 * (self.prior.precision * away.square()).sum()
        return float(total if self.hold is None else total + self.hold.value(code))

    def gradient(self, code: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """dE/dc."""
        p, q = self._probabilities(self.base + self.jacobian @ code)
        slope = p - q
        if self.energy == "euclidean":  # 2 D^T (p - q), and D is symmetric in the classes
            slope = 2 * (_product(p, slope) - _product(q, slope))
        pull = self.prior.precision * (code - self.prior.mean)
        if self.hold is not None:
            pull = pull + self.hold.gradient(code)
        return (self.weight[:, None] * slope).flatten() @ self.jacobian.flatten(0, 1) + pull

    def quadratic(self, code: Float[Tensor, "N"]) -> Quadratic:
        """E(c), its gradient, and its Gauss-Newton matrix."""
        gradient = self.gradient(code)
        return Quadratic(self.value(code), self.gap(gradient), gradient, self.matrix(code))

    def gap(self, gradient: Float[Tensor, "N"]) -> float:
        """A bound of E(c) - min E, by the gradient at c.

        A convex E is as curved as its prior at least, hence E(c) - min E <= 1/2 g^T D^-1 g: strict for cross-entropy
        on known classes, a good guess for the other energies.
        """
        return 0.5 * float((gradient.square() / self.prior.precision).sum())

    def matrix(self, code: Float[Tensor, "N"]) -> Float[Tensor, "N N"]:
        """The Gauss-Newton matrix of E.

        Cross-entropy: with a = sum of p over A, the second derivative by the logits is H(p) - H(q), where
        H(p) = diag(p) - p p^T. We take H(p) - a H(q), which is never indefinite and is exact for a known class; for
        "not this class" it is the Fisher information of that event.
        Euclidean: the residual p - q has the derivative D = H(p) - H(q), so the matrix is 2 D^T D.
        """
        p, q = self._probabilities(self.base + self.jacobian @ code)
        if self.energy == "cross_entropy":
            a = (p * self.allowed).sum(1)[:, None, None]
            left = self.jacobian
            right = _covariance(p, left) - a * _covariance(q, left)
        else:
            left = _covariance(p, self.jacobian) - _covariance(q, self.jacobian)
            right = 2 * left
        matrix = left.flatten(0, 1).T @ (self.weight[:, None, None] * right).flatten(0, 1)
        if self.hold is not None:
            matrix = matrix + self.hold.matrix(code)
        return 0.5 * (matrix + matrix.T) + self.prior.precision.diag()

    def _probabilities(self, logits: Float[Tensor, "n M"]) -> tuple[Tensor, Tensor]:
        """P over all classes, q over the allowed ones."""
        return logits.softmax(1), logits.masked_fill(~self.allowed, -torch.inf).softmax(1)


def _product(p: Float[Tensor, "n M"], vector: Float[Tensor, "n M"]) -> Float[Tensor, "n M"]:
    """H(p) v at each pixel."""
    return _covariance(p, vector[..., None])[..., 0]


def _covariance(p: Float[Tensor, "n M"], columns: Float[Tensor, "n M N"]) -> Float[Tensor, "n M N"]:
    """H(p) = diag(p) - p p^T, applied to each column at each pixel."""
    weighted = p[..., None] * columns
    return weighted - p[..., None] * weighted.sum(1, keepdim=True)
