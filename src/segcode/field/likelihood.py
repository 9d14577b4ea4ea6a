"""The likelihood of labels given logits: the softmax likelihood of a class, or of a set of classes, at cells.

    l(z) = sum_e w_e (logsumexp_m z_m - logsumexp_{m in A_e} z_m)

for entries e with allowed classes A_e and weight w_e at the logits z of their cell. Its derivative at a cell is
sum_e w_e (p - q_e), where p = softmax(z), and q_e is p restricted to A_e and normalised. Its second derivative is at
most W H(p), with H(p) = diag(p) - p p^T and W = sum_e w_e: equal to it where every A_e is one class.

An entry of several classes is softplus(s) of one number s, the log-odds of the other classes. Its generalised
Gauss-Newton curvature (Schraudolph 2002) is w P (1 - P) v v^T, with P the probability of A_e, v = q_e - q_e' the
derivative of -s, and q_e' as q_e of the other classes: of rank one, and never negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray


@dataclass(frozen=True)
class Observations:
    """Labels at the cells of a grid.

    Attributes:
        cells: the labelled cells, distinct, in rising order.
        place: of each entry in `cells`; several entries may speak of one cell.
        allowed: the classes that each entry allows.
        weight: of each entry, at least 0.
    """

    cells: Integer[ndarray, "n"]
    place: Integer[ndarray, "e"]
    allowed: Bool[ndarray, "e M"]
    weight: Float[ndarray, "e"]

    def __len__(self) -> int:
        return len(self.cells)

    def at(self, cells: Integer[ndarray, "k"]) -> Observations:
        """The entries of some of the cells, given in rising order."""
        kept = np.isin(self.cells[self.place], cells)
        place = np.searchsorted(cells, self.cells[self.place[kept]])
        return Observations(cells, place, self.allowed[kept], self.weight[kept])

    def beyond(self, earlier: Observations) -> Observations:
        """The entries of cells that are unlabelled, or labelled otherwise, in earlier labels."""
        changed = ~np.isin(self.cells, earlier.cells)
        common = np.flatnonzero(~changed)
        then = np.searchsorted(earlier.cells, self.cells[common])
        changed[common] = (self._weight_by_class()[common] != earlier._weight_by_class()[then]).any(1)
        return self.at(self.cells[changed])

    def _weight_by_class(self) -> Float[ndarray, "n M"]:
        weights = np.zeros((len(self.cells), self.allowed.shape[1]))
        np.add.at(weights, self.place, self.weight[:, None] * self.allowed)
        return weights

    @cached_property
    def total(self) -> Float[ndarray, "n"]:
        """W of each cell."""
        return np.bincount(self.place, self.weight, len(self.cells)).astype(np.float64, copy=False)

    @cached_property
    def clear(self) -> Bool[ndarray, "n"]:
        """Cells whose labels neither contradict each other nor say nothing: they leave some classes, and not all."""
        left = np.ones((len(self.cells), self.allowed.shape[1]), bool)
        np.logical_and.at(left, self.place, self.allowed)
        return np.asarray(left.any(1) & ~left.all(1))

    def value(self, logits: Float[ndarray, "n M"]) -> float:
        """l(z)."""
        z = logits[self.place]
        if self._one_class:
            return float(self.weight @ (logsumexp(z) - z[self.allowed]))
        allowed = self._allowed_by_class
        powers = np.ascontiguousarray(z.T)
        powers = np.exp(powers - powers.max(0))
        chosen = np.where(allowed, powers, 0).sum(0)
        if not chosen.all():  # too far below the highest for one exponent
            return float(self.weight @ (logsumexp(z) - logsumexp(np.where(self.allowed, z, -np.inf))))
        return float(self.weight @ np.log(powers.sum(0) / chosen))

    def slope(self, logits: Float[ndarray, "n M"]) -> Float[ndarray, "n M"]:
        """The derivative of l by the logits."""
        z = logits[self.place]
        chosen = self.allowed if self._one_class else softmax(np.where(self.allowed, z, -np.inf))
        each = self.weight[:, None] * (softmax(z) - chosen)
        if len(each) == len(logits):  # one entry a cell
            each[self.place] = each.copy()
            return each
        return np.stack([np.bincount(self.place, column, len(logits)) for column in each.T], 1)

    def of_one_class(self) -> Observations:
        """The entries that allow one class alone."""
        if self._one_class:
            return self
        one = self.allowed.sum(1) == 1
        return Observations(self.cells, self.place[one], self.allowed[one], self.weight[one])

    def rank_one(self, logits: Float[ndarray, "n M"]) -> tuple[Integer[ndarray, "r"], Float[ndarray, "r M"]]:
        """The place of each entry of several classes, and (w P (1 - P))^(1/2) v."""
        if self._one_class:
            return np.zeros(0, np.intp), np.zeros((0, self.allowed.shape[1]))
        count = self.allowed.sum(1)
        several = (count > 1) & (count < self.allowed.shape[1])  # all classes say nothing
        z, allowed, place = logits[self.place[several]], self.allowed[several], self.place[several]
        inside, outside = np.where(allowed, z, -np.inf), np.where(allowed, -np.inf, z)
        odds = logsumexp(inside) - logsumexp(outside)
        root = np.sqrt(self.weight[several]) / (2 * np.cosh(0.5 * np.clip(odds, -600, 600)))
        return place, root[:, None] * (softmax(inside) - softmax(outside))

    @cached_property
    def _allowed_by_class(self) -> Bool[ndarray, "M m"]:
        return np.ascontiguousarray(self.allowed.T)

    @cached_property
    def _one_class(self) -> bool:
        """Whether each entry allows one class alone."""
        return bool((self.allowed.sum(1) == 1).all())


def logsumexp(logits: Float[ndarray, "n M"]) -> Float[ndarray, "n"]:
    """Return log sum_m exp z_m; at least one logit of a row is finite."""
    by_class = np.ascontiguousarray(logits.T)  # sums along rows this short are slow
    top = by_class.max(0)
    return top + np.log(np.exp(by_class - top).sum(0))


def softmax(logits: Float[ndarray, "n M"]) -> Float[ndarray, "n M"]:
    """Class probabilities; at least one logit of a row is finite."""
    powers = np.ascontiguousarray(logits.T)
    powers = np.exp(powers - powers.max(0))
    return np.ascontiguousarray((powers / powers.sum(0)).T)
