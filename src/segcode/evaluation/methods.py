"""The methods that are compared: each gets the same initial prediction and the same truth, and gives logits."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from segcode.refinement.refiner import Refiner
from segcode.tensors import Image
from segcode.truth.truth import Truth


@runtime_checkable
class Method(Protocol):
    """A way to use labelled pixels. They are written into the maps of all methods, with the same exclusion."""

    @property
    def name(self) -> str:
        """In tables."""

    def begin(self, refiner: Refiner, image: Image) -> None:
        """Turn to the image that is set in `refiner`, and forget earlier truth."""

    def refine(self, truth: Truth) -> Float[ndarray, "M h w"]:
        """Logits of any size, for truth at the size of the image."""


class Pasted:
    """The initial prediction: a label changes its own pixel alone."""

    name = "pasted"

    def begin(self, refiner: Refiner, image: Image) -> None:
        self._logits = refiner.prediction.base_logits

    def refine(self, truth: Truth) -> Float[ndarray, "M h w"]:
        return self._logits


class Refined:
    """The mode of the posterior."""

    name = "segcode"

    def begin(self, refiner: Refiner, image: Image) -> None:
        refiner.reset()
        self._refiner = refiner

    def refine(self, truth: Truth) -> Float[ndarray, "M h w"]:
        return self._refiner.refine(truth).logits
