"""The prior of the field: a sparse precision on the grid, factorised once an image.

    Q = Laplacian(w) + diag(u),      w_ij = exp(-sum_l s_l |f_i^l - f_j^l|^2) + floor,      u_i = pull exp(-g H_i)

with f^l the features of level l at a cell, and H the entropy of the initial prediction there, in nats. Two cells that
look alike are joined by a weight of about 1, two sides of an edge by `floor`. The pull towards zero makes the
correlation fall with the distance; it is weaker where the initial prediction is unsure. Each class has a field
f_m ~ N(0, C) of its own, with the same covariance C = V Q^-1. The precision of a random walker with a prior
(Grady 2005) is the same matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from segcode.field.constants import FieldConstants
from segcode.field.grid import Grid
from segcode.field.likelihood import softmax


def edge_weights(
    features: Sequence[Float[ndarray, "_ n"]], grid: Grid, constants: FieldConstants
) -> Float[ndarray, "e"]:
    """The weight w of each edge of the grid, in floor..1 + floor.

    Args:
        features: one array (channels, cells) for each level, scaled so that the mean squared distance of neighbours is
            1 over many images.
        grid: the cells.
        constants: s and floor.
    """
    first, second = grid.neighbours
    distance = np.zeros(len(first), np.float32)
    for scale, level in zip(constants.edge_scales, features, strict=True):
        if scale > 0:
            cells = np.ascontiguousarray(level.T)
            distance += np.float32(scale) * np.square(cells[first] - cells[second]).sum(1)
    return np.exp(-distance.astype(np.float64)) + constants.floor


def cell_pull(base: Float[ndarray, "n M"], constants: FieldConstants) -> Float[ndarray, "n"]:
    """U at each cell, in 0..pull, from the initial prediction S0 / T."""
    probability = softmax(base)
    entropy = -(probability * np.log(np.maximum(probability, 1e-30))).sum(1)
    return constants.pull * np.exp(-constants.pull_relief * entropy)


class Precision:
    """Q / V of one image, its factorisation, and the columns of C that were asked for.

    Attributes:
        grid: the cells.
        weights: w of each edge.
        pull: u of each cell.
        variance: V.
    """

    def __init__(
        self, grid: Grid, weights: Float[ndarray, "e"], pull: float | Float[ndarray, "n"], variance: float
    ) -> None:
        """Build the matrix and factorise it."""
        first, second = grid.neighbours
        count = len(grid)
        self.grid, self.weights, self.variance = grid, weights, variance
        self.pull = np.broadcast_to(np.asarray(pull, np.float64), (count,))
        degree = np.bincount(first, weights, count) + np.bincount(second, weights, count) + self.pull
        cells = np.arange(count)
        values = np.concatenate([degree, -weights, -weights]) / variance
        places = np.concatenate([cells, first, second]), np.concatenate([cells, second, first])
        self.matrix = sparse.csc_matrix((values, places), shape=(count, count))
        self._factor = _factorise(self.matrix)
        self._known = np.zeros(0, np.int64)
        self._columns = np.zeros((count, 0))

    def solve(self, right: Float[ndarray, "n *k"]) -> Float[ndarray, "n *k"]:
        """C times each column."""
        return self._factor.solve(np.ascontiguousarray(right, np.float64))

    def times(self, fields: Float[ndarray, "n *k"]) -> Float[ndarray, "n *k"]:
        """C^-1 times each column."""
        return np.asarray(self.matrix @ fields)

    def covariance(self, cells: Integer[ndarray, "k"]) -> Float[ndarray, "n k"]:
        """The columns of C at some cells, distinct ones; those of the last call are kept."""
        new = np.setdiff1d(cells, self._known)
        if len(new):
            units = np.zeros((len(self.grid), len(new)))
            units[new, np.arange(len(new))] = 1.0
            kept = np.isin(self._known, cells)
            self._columns = np.concatenate([self._columns[:, kept], self.solve(units)], axis=1)
            self._known = np.concatenate([self._known[kept], new])
        order = np.argsort(self._known)
        return self._columns[:, order[np.searchsorted(self._known, cells, sorter=order)]]

    def sample(self, count: int, draw: np.random.Generator) -> Float[ndarray, "n count"]:
        """Draws from N(0, C): C (B^T W^(1/2) e1 + u^(1/2) e2), B the differences over edges (perturb and solve)."""
        return self.solve(self.noise(count, draw))

    def noise(self, count: int, draw: np.random.Generator) -> Float[ndarray, "n count"]:
        """Draws from N(0, C^-1)."""
        first, second = self.grid.neighbours
        across = np.sqrt(self.weights / self.variance)[:, None] * draw.standard_normal((len(first), count))
        noise = np.sqrt(self.pull / self.variance)[:, None] * draw.standard_normal((len(self.grid), count))
        np.add.at(noise, first, across)
        np.subtract.at(noise, second, across)
        return noise

    def plus(self, diagonal: Float[ndarray, "n"]) -> SuperLU:
        """The factorisation of C^-1 + diag(d)."""
        return _factorise((self.matrix + sparse.diags(diagonal)).tocsc())

    def cut(self, regions: Integer[ndarray, "n"], floor: float) -> Precision:
        """The same prior, with the weight of edges between two regions lowered to `floor`."""
        first, second = self.grid.neighbours
        weights = np.where(regions[first] != regions[second], np.minimum(self.weights, floor), self.weights)
        return Precision(self.grid, weights, self.pull, self.variance)

    @property
    def nbytes(self) -> int:
        """Memory of the factorisation and of the columns, in bytes."""
        return 12 * (self._factor.nnz + self.matrix.nnz) + self._columns.nbytes


def _factorise(matrix: sparse.csc_matrix) -> SuperLU:
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
