"""Where a label is expected to change the map most, in closed form."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy.ndimage import maximum_filter

from segcode.field.likelihood import softmax
from segcode.field.posterior import Posterior

CANDIDATES: Final = 48
"""Cells that are looked at: local maxima of the entropy of the class."""


def expected_changes(
    logits: Float[ndarray, "c M"], posterior: Posterior, labelled: Integer[ndarray, "k"]
) -> Float[ndarray, "c"]:
    """The share of the map that a label at a cell is expected to change; 0 at cells that are not candidates.

    If cell i turns out to be of class k, its logit has to rise by d, its distance to the strongest class; the field at
    cell j then rises by d K_ji / K_ii (the closed form for one label), and j changes if k lacks no more than that
    there. The expectation is over the class of i, by its present probabilities:

        change(i) = sum_k p_i(k) #{j : d_ik K_ji / K_ii >= max_m z_jm - z_jk} / c

    Args:
        logits: logits given the present labels.
        posterior: its covariance of the field is K.
        labelled: cells that are labelled already.
    """
    probability = softmax(logits)
    cells = _candidates(probability, posterior.precision.grid.shape, labelled)
    changes = np.zeros(len(logits))
    if len(cells) == 0:
        return changes
    columns = posterior.covariance(cells)
    response = np.clip(columns / np.maximum(columns[cells, np.arange(len(cells))], 1e-12), 0.0, 1.0)
    lacking = logits.max(1, keepdims=True) - logits
    for number, cell in enumerate(cells):
        for k in np.flatnonzero(probability[cell] > 0.01):
            flips = (response[:, number] * lacking[cell, k] >= lacking[:, k]) & (lacking[:, k] > 0)
            changes[cell] += probability[cell, k] * flips.mean()
    return changes


def _candidates(
    probability: Float[ndarray, "c M"], shape: tuple[int, int], labelled: Integer[ndarray, "k"]
) -> Integer[ndarray, "n"]:
    """Unlabelled cells where the entropy has a local maximum, the largest first."""
    entropy = -(probability * np.log(np.maximum(probability, 1e-30))).sum(1)
    entropy[labelled] = 0.0
    on_grid = entropy.reshape(shape)
    peaks = np.flatnonzero((on_grid == maximum_filter(on_grid, 5)).ravel() & (entropy > 0.01))
    return peaks[np.argsort(-entropy[peaks])][:CANDIDATES]
