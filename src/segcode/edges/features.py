"""What edges between neighbouring cells are read from: features of the segmenter, or of an image network."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.data.resize import resize_image
from segcode.field.grid import STRIDE, Grid
from segcode.interpolation import at_cells
from segcode.prediction import InitialPrediction
from segcode.tensors import Image


def edge_features(image: Image, grid: Grid, prediction: InitialPrediction) -> list[Float[ndarray, "_ n"]]:
    """Feature levels at the cells, to be compared between neighbours.

    Args:
        image: RGB (H, W, 3).
        grid: the cells.
        prediction: of the segmenter, which may give edges or feature maps; else the shipped network sees the image.
    """
    if prediction.edges is not None:
        return list(prediction.edges)
    if prediction.features is not None:
        return [_scaled(at_cells(level, grid.shape).reshape(len(level), -1), grid) for level in prediction.features]
    from segcode.edges.network import network_features  # PyTorch, where nothing else gives edges

    return network_features(image, grid)


def network_input(image: Image, grid: Grid) -> Float[ndarray, "1 3 _ _"]:
    """An image as the edge network takes it, in 0..1: with `STRIDE` pixels along the side of a cell."""
    rows, columns = STRIDE * grid.rows, STRIDE * grid.columns
    pixels = image if image.shape[:2] == (rows, columns) else resize_image(image, rows, columns)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / 255


def _scaled(level: Float[ndarray, "C n"], grid: Grid) -> Float[ndarray, "C n"]:
    """A level divided by the root of its mean squared distance of neighbours."""
    first, second = grid.neighbours
    typical = np.square(level[:, first] - level[:, second]).sum(0).mean() if len(first) else 1.0
    return level / np.sqrt(max(float(typical), 1e-12))
