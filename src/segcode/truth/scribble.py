"""Truth from strokes and points, as an annotator gives it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from PIL import Image as Pillow
from PIL import ImageDraw

from segcode.errors import TruthError
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth

Point = tuple[int | float, int | float]
"""Row and column in pixels."""


def scribble_truth(
    points: Sequence[Point], class_index: int, classes: int, size: tuple[int, int], radius: float = 2.0
) -> Truth:
    """A round brush of `radius` pixels drawn along a line through the points marks one class.

    What reaches over the border of the image is cut off. Radius 0 is a line one pixel wide.

    Raises:
        TruthError: if a point lies outside the image or there is none, or for a class that the model lacks.
    """
    if not points:
        raise TruthError("a stroke needs at least one point (row, column)")
    _check_inside(points, size)
    return mask_truth(brush_mask(points, size, radius), class_index, classes)


def brush_mask(points: Sequence[Point], size: tuple[int, int], radius: float) -> Bool[ndarray, "H W"]:
    """What a round brush along a line covers of an image of (rows, columns); points may lie outside."""
    canvas = Pillow.new("1", (size[1], size[0]))
    draw = ImageDraw.Draw(canvas)
    xy = [(column, row) for row, column in points]
    # However fine the brush, a click marks the pixel that it is on.
    draw.point([(math.floor(x + 0.5), math.floor(y + 0.5)) for x, y in xy], fill=1)
    if len(xy) > 1:
        draw.line(xy, fill=1, width=max(1, round(2 * radius)))
    for x, y in xy:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    return np.array(canvas, bool)


def polygon_mask(corners: Sequence[Point], size: tuple[int, int]) -> Bool[ndarray, "H W"]:
    """What a closed polygon covers of an image of (rows, columns), its edge included; corners may lie outside.

    Fewer than three corners enclose nothing.
    """
    if len(corners) < 3:
        return np.zeros(size, bool)
    canvas = Pillow.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon([(column, row) for row, column in corners], fill=1, outline=1)
    return np.array(canvas, bool)


def point_truth(points: Sequence[Point], class_index: int, classes: int, size: tuple[int, int]) -> Truth:
    """Single pixels of one class. Raises TruthError if one lies outside the image."""
    _check_inside(points, size)
    mask = np.zeros(size, bool)
    for row, column in points:
        mask[int(row), int(column)] = True
    return mask_truth(mask, class_index, classes)


def _check_inside(points: Sequence[Point], size: tuple[int, int]) -> None:
    for row, column in points:
        if not (0 <= row < size[0] and 0 <= column < size[1]):
            raise TruthError(f"point (row {row:g}, column {column:g}) is outside the image of {size[0]} x {size[1]}")
