"""Tensor types by name and shape, shared by every module, and shapes as text.

Letters in the shapes: B images, M classes, N code numbers, H x W pixels, k codes, n chosen pixels.
The shapes are checked while the tests run (jaxtyping and beartype) and cost nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from jaxtyping import Bool, Float, Integer, UInt8
from numpy import ndarray
from torch import Tensor

IGNORE: Final = 255
"""The label of void pixels: they count in no loss, no metric and no truth."""

Image: TypeAlias = UInt8[ndarray, "H W 3"]
"""RGB as read from a file, 0..255."""

LabelImage: TypeAlias = UInt8[ndarray, "H W"]
"""Class indices 0..M-1 as read from a file, IGNORE where unknown."""

DepthImage: TypeAlias = Float[ndarray, "H W"]
"""Distance along the optical axis in metres."""

ImageBatch: TypeAlias = Float[Tensor, "B 3 H W"]
"""RGB in 0..1; the model itself subtracts its mean and divides by its deviation."""

Labels: TypeAlias = Integer[Tensor, "B H W"]
"""Class indices 0..M-1, IGNORE where unknown."""

Known: TypeAlias = Float[Tensor, "B planes H W"]
"""2 M planes, 1 where a pixel is known to be of a class (the first M), or not to be of it (the others); else 0."""

Logits: TypeAlias = Float[Tensor, "B M H W"]
"""Scores before the softmax, S' in the paper."""

Uncertainty: TypeAlias = Float[Tensor, "B 1 H W"]
"""b > 0 of Eq. 3: the standard deviation of the noise on each logit of a pixel."""

Code: TypeAlias = Float[Tensor, "B N"]
"""The code c of Eq. 1; N(0, I) a priori."""

Pixels: TypeAlias = Integer[Tensor, "n 2"]
"""Rows and columns, counted from the top left corner."""

AllowedClasses: TypeAlias = Bool[Tensor, "n M"]
"""True where a pixel may be of a class; one True in a row means that its class is known."""


def shape_text(shape: Sequence[int]) -> str:
    """A shape as errors name it: "4 x 30 x 40"."""
    return " x ".join(map(str, shape)) or "a single number"
