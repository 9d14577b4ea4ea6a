"""PyTorch's tensors by name and shape, of batches that networks take and give.

Letters in the shapes: B images, M classes, N code numbers, H x W pixels.
The shapes are checked while the tests run (jaxtyping and beartype) and cost nothing elsewhere.
"""

from __future__ import annotations

from typing import TypeAlias

from jaxtyping import Float, Integer
from torch import Tensor

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
