"""The interface of a segmenter: an initial prediction is all that refinement needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from segcode.errors import DataError, SegcodeError, where
from segcode.numbers import Numbers
from segcode.tensors import Image, Pixels


@runtime_checkable
class CodePath(Protocol):
    """The paper's code at one image: logits = S0 + J c, with c ~ N(0, I)."""

    @property
    def code_size(self) -> int:
        """N."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the grid of J, over all of the image; it may be coarser than that of S0."""

    def added(self, codes: Float[ndarray, "k N"]) -> Float[ndarray, "k M h w"]:
        """J c of codes (k, N), on that grid."""

    def jacobian(self, pixels: Pixels) -> Float[ndarray, "n M N"]:
        """J at (row, column) of that grid."""


@dataclass(frozen=True)
class InitialPrediction:
    """The output of a segmenter at one image.

    Attributes:
        base_logits: S0, logits or log-probabilities, on a grid of any size over the image.
        features: feature maps that edges are read from; without them segcode's own edge network reads the image.
        edges: what that network gives at the cells of `Grid.over` the image, where the segmenter has run it itself.
        code: the code path, where the segmenter has one.
        b: of Eq. 3, the deviation of the noise on the logits, on the segmenter's grid, where it has that.
    """

    base_logits: Float[ndarray, "M h w"]
    features: tuple[Float[ndarray, "_ _ _"], ...] | None = None
    edges: tuple[Float[ndarray, "_ _"], ...] | None = None
    code: CodePath | None = None
    b: Float[ndarray, "_ _"] | None = None


@runtime_checkable
class Segmenter(Protocol):
    """Anything that predicts a label map of an image."""

    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """The initial prediction of an RGB image (H, W, 3) of bytes, of any size.

        `name` is that of the image's file without its ending, after the folders that it lies in below those of all
        images ("left/0001"). Segmenters find the files of an image by it.
        """


@dataclass(frozen=True)
class CallableSegmenter:
    """A function from an RGB image (H, W, 3) of bytes to logits or probabilities (M, h, w), as a segmenter.

    Attributes:
        function: returns a NumPy array, a tensor, a dict that has one as "out", or an `InitialPrediction`. If it has a
            parameter `name`, it gets the name of the image.
        numbers: turns the output into logits.
    """

    function: Callable[..., Any]
    numbers: Numbers = field(default_factory=Numbers)

    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """Call the function, and check what it returns.

        Raises:
            DataError: if it fails, or that is no array (M, h, w) of finite numbers, with at least two classes.
        """
        named = {"name": name} if takes_name(self.function) else {}
        try:
            output = self.function(image.copy(), **named)  # it may change its image
        except SegcodeError:
            raise
        except (Exception, SystemExit) as error:  # any: the function is not ours
            raise DataError(f"the segmenter fails on an image ({where(error)}): correct it") from error
        if isinstance(output, InitialPrediction):
            return replace(output, base_logits=self.numbers.logits(output.base_logits, "the segmenter's prediction"))
        if isinstance(output, Mapping) and "out" in output:  # as torchvision's models
            output = output["out"]
        return InitialPrediction(self.numbers.logits(output, "the segmenter's output"))


def takes_name(function: Callable[..., Any]) -> bool:
    """Whether a function has a parameter `name`."""
    try:
        return "name" in signature(function).parameters
    except (TypeError, ValueError):  # of some that are written in C
        return False
