"""What a refinement needs of a segmenter: an initial prediction, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segcode.errors import DataError
from segcode.tensors import Code, Image, Pixels


@runtime_checkable
class CodePath(Protocol):
    """The paper's code at one image: logits = S0 + J c, with c ~ N(0, I)."""

    @property
    def code_size(self) -> int:
        """N."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the grid of J, over all of the image; it may be coarser than that of S0."""

    def added(self, codes: Code) -> Float[Tensor, "k M h w"]:
        """J c of codes (k, N), on that grid."""

    def jacobian(self, pixels: Pixels) -> Float[Tensor, "n M N"]:
        """J at (row, column) of that grid."""


@dataclass(frozen=True)
class InitialPrediction:
    """The output of a segmenter at one image.

    Attributes:
        base_logits: S0, logits or log-probabilities, on a grid of any size over the image.
        features: feature maps that edges are read from; without them segcode's own edge network reads the image.
        code: the code path, where the segmenter has one.
        b: of Eq. 3, the deviation of the noise on the logits, on the segmenter's grid, where it has that.
    """

    base_logits: Float[Tensor, "M h w"]
    features: tuple[Float[Tensor, "_ _ _"], ...] | None = None
    code: CodePath | None = None
    b: Float[Tensor, "_ _"] | None = None


@runtime_checkable
class Segmenter(Protocol):
    """Anything that predicts a label map of an image."""

    def predict(self, image: Image) -> InitialPrediction:
        """The initial prediction of an RGB image (H, W, 3) of bytes, of any size."""


@dataclass(frozen=True)
class CallableSegmenter:
    """A function from an RGB image (H, W, 3) of bytes to logits (M, h, w), as a segmenter.

    Attributes:
        function: returns a NumPy array or a tensor of logits or log-probabilities.
    """

    function: Callable[[Image], Any]

    def predict(self, image: Image) -> InitialPrediction:
        """Call the function, and check what it returns.

        Raises:
            DataError: if that is no array (M, h, w) of finite numbers, with at least two classes.
        """
        output = self.function(image)
        if isinstance(output, InitialPrediction):
            return output
        logits = torch.as_tensor(np.asarray(output) if not isinstance(output, Tensor) else output).detach().float()
        if logits.ndim == 4 and len(logits) == 1:
            logits = logits[0]
        if logits.ndim != 3 or min(logits.shape) == 0 or len(logits) < 2:
            shape = " x ".join(map(str, logits.shape))
            raise DataError(
                f"the segmenter returned {shape}: return logits of classes x rows x columns, 2 classes or more"
            )
        if not torch.isfinite(logits).all():
            raise DataError("the segmenter returned NaN or infinite logits: return finite logits or log-probabilities")
        return InitialPrediction(logits)
