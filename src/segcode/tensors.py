"""Array types by name and shape, shared by every module, and shapes as text; `batches` has the types of PyTorch.

Letters in the shapes: M classes, N code numbers, H x W pixels, k codes, n chosen pixels.
The shapes are checked while the tests run (jaxtyping and beartype) and cost nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from jaxtyping import Float, Integer, UInt8
from numpy import ndarray

IGNORE: Final = 255
"""The label of void pixels: they count in no loss, no metric and no truth."""

Image: TypeAlias = UInt8[ndarray, "H W 3"]
"""RGB as read from a file, 0..255."""

LabelImage: TypeAlias = UInt8[ndarray, "H W"]
"""Class indices 0..M-1 as read from a file, IGNORE where unknown."""

DepthImage: TypeAlias = Float[ndarray, "H W"]
"""Distance along the optical axis in metres."""

Pixels: TypeAlias = Integer[ndarray, "n 2"]
"""Rows and columns, counted from the top left corner."""


def shape_text(shape: Sequence[int]) -> str:
    """A shape as errors name it: "4 x 30 x 40"."""
    return " x ".join(map(str, shape)) or "a single number"
