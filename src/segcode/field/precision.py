"""The prior of the field: a sparse precision on the grid, factorised once an image.

    Q = Laplacian(w) + diag(u)
    w_ij = exp(-sum_l s_l |f_i^l - f_j^l|^2) + floor
    u_i = pull exp(-g H_i - r mean(H))

with f^l the features of level l at a cell, and H the entropy of the initial prediction there, in nats. Two cells that
look alike are joined by a weight of about 1, two sides of an edge by `floor`. The pull towards zero makes the
correlation fall with the distance; it is weaker where the initial prediction is unsure, and in an image that it is
unsure of. Each class has a field f_m ~ N(0, C) of its own, with the same covariance C = V Q^-1. The precision of a
random walker with a prior (Grady 2005) is the same matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache, partial
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray
from numpy.typing import DTypeLike
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from segcode.errors import ConfigError
from segcode.field.constants import FieldConstants
from segcode.field.grid import Grid
from segcode.field.kept import Kept
from segcode.field.likelihood import softmax
from segcode.field.threads import Later, threads

LEAF: Final = 16
"""Cells below which `dissection` no longer halves; the time of a factorisation hardly depends on it."""


def edge_weights(
    features: Sequence[Float[ndarray, "_ n"]], grid: Grid, constants: FieldConstants
) -> Float[ndarray, "e"]:
    """The weight w of each edge of the grid, in floor..1 + floor.

    Args:
        features: one array (channels, cells) for each level, scaled so that the mean squared distance of neighbours is
            1 over many images.
        grid: the cells.
        constants: s and floor.

    Raises:
        ConfigError: if the constants have another number of scales.
    """
    if len(features) != len(constants.edge_scales):
        raise ConfigError(
            f"the constants have {len(constants.edge_scales)} edge_scales for {len(features)} levels of features: "
            "run `segcode fit` again, or give a scale for each level"
        )
    across = np.zeros((grid.rows, grid.columns - 1), np.float32)
    down = np.zeros((grid.rows - 1, grid.columns), np.float32)
    for scale, level in zip(constants.edge_scales, features, strict=True):
        if scale > 0:
            for channel in np.asarray(level, np.float32).reshape(-1, *grid.shape):
                cells = np.float32(np.sqrt(scale)) * channel
                across += np.square(cells[:, 1:] - cells[:, :-1])
                down += np.square(cells[1:] - cells[:-1])
    distance = np.concatenate([across.ravel(), down.ravel()])
    return np.exp(-distance.astype(np.float64)) + constants.floor


def cell_pull(base: Float[ndarray, "n M"], constants: FieldConstants) -> Float[ndarray, "n"]:
    """U at each cell, in 0..pull, from the initial prediction S0 / T."""
    probability = softmax(base)
    entropy = -(probability * np.log(np.maximum(probability, 1e-30))).sum(1)
    return constants.pull * np.exp(-constants.pull_relief * entropy - constants.image_relief * entropy.mean())


class Factor:
    """A factorised matrix, its cells in the order of `dissection`, and the columns of its inverse that are in use."""

    def __init__(self, matrix: sparse.csc_matrix, grid: Grid) -> None:
        """Factorise a matrix in its own precision; what is solved for is rounded to that, too."""
        self._factor, self._dtype, self._grid = _factorise(matrix), matrix.dtype, grid
        self._columns = Kept(self._computed)

    def solve(self, right: Float[ndarray, "n *k"]) -> Float[ndarray, "n *k"]:
        """The inverse of the matrix times each column; threads share the columns."""
        order, solved = dissection(self._grid), np.empty(right.shape)
        columns, into = (np.atleast_2d(one.T).T for one in (right, solved))

        def solve_part(part: slice) -> None:
            into[order, part] = self._factor.solve(np.asarray(columns[order, part], self._dtype))

        step = max(1, -(-columns.shape[1] // threads()))
        first, *others = (slice(start, start + step) for start in range(0, max(1, columns.shape[1]), step))
        started = [Later(partial(solve_part, part)) for part in others]
        solve_part(first)
        for one in started:
            one.result()
        return solved

    def columns(self, cells: Integer[ndarray, "k"]) -> Float[ndarray, "n k"]:
        """Columns of the inverse of the matrix, at some cells, distinct ones; those of the last call are kept."""
        return self._columns(cells).T

    @property
    def nbytes(self) -> int:
        """Memory of the factors and of the columns, in bytes."""
        return (4 + self._dtype.itemsize) * self._factor.nnz + self._columns.nbytes

    def _computed(self, cells: Integer[ndarray, "k"]) -> Float[ndarray, "k n"]:
        units = np.zeros((len(self._grid), len(cells)))
        units[cells, np.arange(len(cells))] = 1.0
        return self.solve(units).T


@lru_cache(maxsize=8)
def dissection(grid: Grid) -> Integer[ndarray, "n"]:
    """The cells in the order of nested dissection (George 1973): both halves of the grid, then the line between them.

    What a factorisation adds to the matrix stays small, as lines that are eliminated last keep the halves apart.
    """

    def ordered(cells: Integer[ndarray, "h w"]) -> list[Integer[ndarray, "_"]]:
        if min(cells.shape) == 0 or cells.size <= LEAF:
            return [cells.ravel()]
        if cells.shape[0] > cells.shape[1]:
            cells = cells.T
        middle = cells.shape[1] // 2
        return [*ordered(cells[:, :middle]), *ordered(cells[:, middle + 1 :]), cells[:, middle]]

    return np.concatenate(ordered(np.arange(len(grid)).reshape(grid.shape)))


class Pattern(NamedTuple):
    """The places of a matrix's entries on a grid, by column, and which of the diagonal and the edges stands there."""

    rows: Integer[ndarray, "z"]
    starts: Integer[ndarray, "_"]
    source: Integer[ndarray, "z"]

    def matrix(self, entries: Float[ndarray, "z"]) -> sparse.csc_matrix:
        """The matrix with these entries: of the diagonal, of the edges, of the edges again; none where they are 0."""
        count = len(self.starts) - 1
        matrix = sparse.csc_matrix((entries[self.source], self.rows, self.starts), shape=(count, count))
        if not entries.all():
            matrix = matrix.copy()
            matrix.eliminate_zeros()
        return matrix


@lru_cache(maxsize=8)
def _pattern(grid: Grid, dissected: bool) -> Pattern:
    """The same for every image; with the cells in the order of `dissection`, or row by row."""
    count = len(grid)
    place = np.arange(count)
    if dissected:
        place[dissection(grid)] = np.arange(count)
    first, second = (place[cells] for cells in grid.neighbours)
    rows, columns = np.concatenate([place, first, second]), np.concatenate([place, second, first])
    source = np.lexsort((rows, columns))
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=count))])
    return Pattern(rows[source].astype(np.int32), starts.astype(np.int32), source)


class Precision:
    """Q / V of one image, and its factorisation once it is asked for.

    Attributes:
        grid: the cells.
        weights: w of each edge.
        pull: u of each cell.
        variance: V.
    """

    def __init__(
        self, grid: Grid, weights: Float[ndarray, "e"], pull: float | Float[ndarray, "n"], variance: float
    ) -> None:
        """Build the matrix."""
        first, second = grid.neighbours
        count = len(grid)
        self.grid, self.weights, self.variance = grid, weights, variance
        self.pull = np.broadcast_to(np.asarray(pull, np.float64), (count,))
        degree = np.bincount(first, weights, count) + np.bincount(second, weights, count) + self.pull
        self._entries = np.concatenate([degree, -weights, -weights]) / variance
        self.matrix = _pattern(grid, dissected=False).matrix(self._entries)

    @cached_property
    def _factor(self) -> Factor:
        return self.plus(np.zeros(len(self.grid)))

    def factorised(self) -> Precision:
        """Factorise now, not when it is first needed, and return the prior itself."""
        _ = self._factor
        return self

    def solve(self, right: Float[ndarray, "n *k"]) -> Float[ndarray, "n *k"]:
        """C times each column."""
        return self._factor.solve(right)

    def times(self, fields: Float[ndarray, "n *k"]) -> Float[ndarray, "n *k"]:
        """C^-1 times each column."""
        return np.asarray(self.matrix @ fields)

    def covariance(self, cells: Integer[ndarray, "k"]) -> Float[ndarray, "n k"]:
        """The columns of C at some cells, distinct ones; those of the last call are kept."""
        return self._factor.columns(cells)

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

    @property
    def diagonal(self) -> Float[ndarray, "n"]:
        """That of C^-1."""
        return self._entries[: len(self.grid)]

    def plus(self, diagonal: Float[ndarray, "n"], dtype: DTypeLike = np.float64) -> Factor:
        """The factorisation of C^-1 + diag(d), in a precision."""
        entries = self._entries.copy()
        entries[: len(diagonal)] += diagonal
        return Factor(_pattern(self.grid, dissected=True).matrix(entries.astype(dtype)), self.grid)

    def cut(self, regions: Integer[ndarray, "n"], floor: float) -> Precision:
        """The same prior, with the weight of edges between two regions lowered to `floor`."""
        first, second = self.grid.neighbours
        weights = np.where(regions[first] != regions[second], np.minimum(self.weights, floor), self.weights)
        return Precision(self.grid, weights, self.pull, self.variance)

    def without(self, cells: Bool[ndarray, "n"]) -> Precision:
        """The same prior with some cells taken out: each loses its edges, and its pull makes up for their weight."""
        first, second = self.grid.neighbours
        weights = np.where(cells[first] | cells[second], 0.0, self.weights)
        return Precision(self.grid, weights, np.where(cells, self.diagonal * self.variance, self.pull), self.variance)

    @property
    def nbytes(self) -> int:
        """Memory of the factorisation and of the columns, in bytes."""
        return self._factor.nbytes + 12 * self.matrix.nnz


def _factorise(matrix: sparse.csc_matrix) -> SuperLU:
    # Columns one by one: a panel of several takes an eighth longer.
    return splu(matrix, permc_spec="NATURAL", diag_pivot_thresh=0.0, panel_size=1, options={"SymmetricMode": True})
