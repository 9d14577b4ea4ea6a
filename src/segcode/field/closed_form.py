"""A field in closed form, while a stroke is being drawn: one linear system in place of Newton's method.

A label of class k at a cell is taken as a linear observation: k is above the strongest other class by a margin. The
logit of k is to rise by d = max(0, strongest other - S0_k + margin), and

    a = (C_PP + I / w)^-1 d,      field = C_:P a     for each class.

The margin is the one that the exact model would leave: at a single cell with two classes that start equal, the gap g
that balances the likelihood's pull w / (1 + exp g) with the prior's g / (2 c), where c is the prior variance there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq
from scipy.special import expit

from segcode.field.likelihood import Observations


def margin(variance: float, weight: float) -> float:
    """The gap between two classes that start equal, at a labelled cell of this prior variance and label weight.

    >>> round(margin(10.0, 5.0), 2)
    2.96
    """
    return float(brentq(lambda g: weight * expit(-g) - g / (2 * variance), 0.0, 2 * variance * weight))


def closed_form(
    base: Float[ndarray, "n M"], observations: Observations, covariance: Float[ndarray, "n n"]
) -> Float[ndarray, "n M"]:
    """Return a for the field C_:P a."""
    weight = observations.total
    gap = margin(float(covariance.diagonal().mean()), float(weight.mean()))
    raised = rise(base, observations, gap)
    return cho_solve(cho_factor(covariance + np.diag(1 / np.maximum(weight, 1e-12))), raised)


def rise(base: Float[ndarray, "n M"], observations: Observations, gap: float) -> Float[ndarray, "n M"]:
    """The rise d that puts the label of each cell above the strongest other class by a gap, at its class.

    Where a cell may be of several classes, the strongest of them is taken.
    """
    best, lead = leads(base, observations)
    raised = np.zeros_like(base)
    raised[np.arange(len(base)), best] = np.maximum(0.0, gap - lead)
    return raised


def leads(base: Float[ndarray, "n M"], observations: Observations) -> tuple[Integer[ndarray, "n"], Float[ndarray, "n"]]:
    """The strongest class that the labels of each cell allow, and how far it is above the strongest other one.

    Infinitely far where the labels contradict each other, or say nothing.
    """
    allowed = np.ones_like(base, bool)
    np.logical_and.at(allowed, observations.place, observations.allowed)
    allowed |= ~allowed.any(1, keepdims=True)
    best = np.where(allowed, base, -np.inf).argmax(1)
    others = np.where(allowed, -np.inf, base).max(1)
    return best, base[np.arange(len(base)), best] - others
