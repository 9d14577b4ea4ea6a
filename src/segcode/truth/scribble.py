"""Truth from clicks, strokes, polygons and boxes, as an annotator gives it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from PIL import Image as Pillow
from PIL import ImageDraw

from segcode.errors import TruthError
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Extent, Truth

Point = tuple[int | float, int | float]
"""Row and column in pixels."""

_WIDEST: Final = 1e5
"""The largest radius of a brush, in pixels."""


def point_truth(points: Sequence[Point], class_index: int, classes: int, size: tuple[int, int]) -> Truth:
    """Single pixels are of one class: clicks.

    Args:
        points: row and column in pixels.
        class_index: 0..M-1.
        classes: M.
        size: rows and columns of the image.

    Raises:
        TruthError: if a point lies outside the image, or for a class that the model lacks.
    """
    _check_inside(points, size)
    mask = np.zeros(size, bool)
    for row, column in points:
        mask[int(row), int(column)] = True
    return mask_truth(mask, class_index, classes)


def scribble_truth(
    points: Sequence[Point],
    class_index: int,
    classes: int,
    size: tuple[int, int],
    radius: float = 2.0,
    excluded: bool = False,
) -> Truth:
    """The pixels under a round brush that is drawn along a line are of one class, or are not of it.

    The part of the brush that lies outside the image is cut off.

    Args:
        points: row and column in pixels; one is a dab of the brush.
        class_index: 0..M-1.
        classes: M.
        size: rows and columns of the image.
        radius: of the brush in pixels, 0 to 1e5; 0 is a line one pixel wide.
        excluded: the stroke says that its pixels are not of the class.

    Raises:
        TruthError: if a point lies outside the image or there is none, or for a class that the model lacks.
    """
    if not points:
        raise TruthError("a stroke needs at least one point (row, column)")
    _check_inside(points, size)
    if not 0 <= radius <= _WIDEST:
        raise TruthError(f"the brush has a radius of {radius:g} pixels: give 0 to {_WIDEST:g}")
    truth = mask_truth(brush_mask(points, size, radius), class_index, classes)
    return replace(truth, allowed=~truth.allowed) if excluded else truth


def polygon_truth(
    corners: Sequence[Point], class_index: int, classes: int, size: tuple[int, int], extent: Extent = "outline"
) -> Truth:
    """The pixels inside a closed polygon, its edge included, are of one class.

    The part of the polygon that lies outside the image is cut off.

    Args:
        corners: row and column in pixels, at least three.
        class_index: 0..M-1.
        classes: M.
        size: rows and columns of the image.
        extent: of the labelled pixels; the region ends at the edge of the polygon by default.

    Raises:
        TruthError: if the polygon has no area, or none inside the image, or for a class that the model lacks.
    """
    if not np.isfinite(corners).all() or _on_a_line(corners):
        raise TruthError(f"a polygon of {len(corners)} corners has no area: give three or more, not all on one line")
    mask = polygon_mask(corners, size)
    if not mask.any():
        raise TruthError(f"the polygon is outside the image of {size[0]} x {size[1]}: draw it on the image itself")
    return mask_truth(mask, class_index, classes, extent)


def box_truth(
    corners: tuple[Point, Point], class_index: int, classes: int, size: tuple[int, int], extent: Extent = "outline"
) -> Truth:
    """All pixels of an upright rectangle are of one class; so a box around an object that does not fill it is no truth.

    Args:
        corners: row and column of the first pixel, and row and column beyond the last one: ((0, 0), size) is the image.
        class_index: 0..M-1.
        classes: M.
        size: rows and columns of the image.
        extent: of the labelled pixels; the region ends at the edge of the box by default.

    Raises:
        TruthError: if the box covers no pixel or reaches outside the image, or for a class that the model lacks.
    """
    (top, left), (bottom, right) = np.rint(corners).astype(int).tolist()
    edges = f"(row {top}, column {left}) to (row {bottom}, column {right})"
    if top >= bottom or left >= right:
        raise TruthError(f"the box {edges} covers no pixel: give the top left corner, then the bottom right one")
    if top < 0 or left < 0 or bottom > size[0] or right > size[1]:
        raise TruthError(f"the box {edges} reaches outside the image of {size[0]} x {size[1]}: cut it off there")
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask_truth(mask, class_index, classes, extent)


def brush_mask(points: Sequence[Point], size: tuple[int, int], radius: float) -> Bool[ndarray, "H W"]:
    """Pixels of an image of (rows, columns) under a round brush drawn along a line; points may lie outside."""
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
    """Pixels of an image of (rows, columns) inside a closed polygon, edge included; corners may lie outside.

    Fewer than three corners enclose nothing.
    """
    if len(corners) < 3:
        return np.zeros(size, bool)
    canvas = Pillow.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon([(column, row) for row, column in corners], fill=1, outline=1)
    return np.array(canvas, bool)


def _on_a_line(points: Sequence[Point]) -> bool:
    return len(points) < 3 or bool(np.linalg.matrix_rank(np.subtract(points, points[0])) < 2)


def _check_inside(points: Sequence[Point], size: tuple[int, int]) -> None:
    for row, column in points:
        if not (0 <= row < size[0] and 0 <= column < size[1]):
            raise TruthError(
                f"point (row {row:g}, column {column:g}) is outside the image of {size[0]} x {size[1]}: "
                "give rows and columns, not x and y"
            )
