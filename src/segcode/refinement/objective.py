"""What a refinement minimises: the truth's misfit and the prior of the code.

    E(c) = s / (sum_i w_i) * sum_i w_i e_i(c) + 1/2 |c|^2

Pixel i has logits z_i = S0_i + J_i c, p = softmax(z_i), and a set A of allowed classes (one class where it is known);
q is p restricted to A and normalised, the one-hot T_i of Eq. 7 where A has one member. Then

    cross-entropy   e = -log sum_{k in A} p_k     gradient  p - q
    Euclidean       e = |p - q|^2                 residual  p - q   (Sect. 3, Eq. 7 and 8)

so both energies are made of one vector, p - q. The prior is the model's own, c ~ N(0, I). `s` is the number of
independent pixels that the truth is worth: neighbours err together, so s grows more slowly than their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from segcode.refinement.config import Energy
from segcode.tensors import AllowedClasses


class Quadratic(NamedTuple):
    """The energy near a code: value, gradient and Gauss-Newton matrix (positive definite, for the prior adds I)."""

    value: float
    gradient: Float[Tensor, "N"]
    matrix: Float[Tensor, "N N"]


@dataclass(frozen=True)
class Objective:
    """E(c) for n pixels of one image.

    Attributes:
        base: S0 at the pixels.
        jacobian: J at the pixels.
        allowed: A, the classes that each pixel may be of.
        weight: w, of sum s.
        energy: which misfit e.
    """

    base: Float[Tensor, "n M"]
    jacobian: Float[Tensor, "n M N"]
    allowed: AllowedClasses
    weight: Float[Tensor, "n"]
    energy: Energy = "cross_entropy"

    def value(self, code: Float[Tensor, "N"]) -> float:
        """E(c)."""
        logits = self.base + self.jacobian @ code
        if self.energy == "cross_entropy":
            misfit = torch.logsumexp(logits, 1) - torch.logsumexp(logits.masked_fill(~self.allowed, -torch.inf), 1)
        else:
            p, q = self._probabilities(logits)
            misfit = (p - q).square().sum(1)
        return float(self.weight.double() @ misfit.double() + 0.5 * code.double().square().sum())

    def gradient(self, code: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """dE/dc."""
        p, q = self._probabilities(self.base + self.jacobian @ code)
        slope = p - q
        if self.energy == "euclidean":  # 2 D^T (p - q), and D is symmetric in the classes
            slope = 2 * (_product(p, slope) - _product(q, slope))
        return (self.weight[:, None] * slope).flatten() @ self.jacobian.flatten(0, 1) + code

    def quadratic(self, code: Float[Tensor, "N"]) -> Quadratic:
        """E(c), its gradient, and its Gauss-Newton matrix."""
        return Quadratic(self.value(code), self.gradient(code), self.matrix(code))

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
        eye = torch.eye(len(code), dtype=matrix.dtype, device=matrix.device)
        return 0.5 * (matrix + matrix.T) + eye

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
