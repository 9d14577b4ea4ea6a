"""What is compared: every method sees the same network's features and the same truth, and gives logits."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from segcode.refinement.refiner import Refiner
from segcode.tensors import Image
from segcode.truth.truth import Truth


@runtime_checkable
class Method(Protocol):
    """A way to use partial truth. The truth is pasted into the maps of all methods afterwards."""

    @property
    def name(self) -> str:
        """As the tables call it."""

    def begin(self, refiner: Refiner, image: Image) -> None:
        """Turn to the image that is set in `refiner`, whose features, zero code and Jacobian are at hand."""

    def refine(self, truth: Truth) -> Float[Tensor, "M h w"]:
        """Logits on the network's grid or at the image's size, for truth at that size; each call starts anew."""


class Pasted:
    """Zero code: what is known helps nowhere else."""

    name = "pasted"

    def begin(self, refiner: Refiner, image: Image) -> None:
        self._logits = refiner.linearised.base

    def refine(self, truth: Truth) -> Float[Tensor, "M h w"]:
        return self._logits


class Inferred:
    """Zero code, and a class that seems to be told as a whole is ruled out elsewhere, as by `Optimised`."""

    name = "pasted, inferred"

    def begin(self, refiner: Refiner, image: Image) -> None:
        self._refiner = refiner

    def refine(self, truth: Truth) -> Float[Tensor, "M H W"]:
        return self._refiner.infer(truth).scores()


class Optimised:
    """The code is optimised."""

    name = "segcode"

    def begin(self, refiner: Refiner, image: Image) -> None:
        self._refiner = refiner

    def refine(self, truth: Truth) -> Float[Tensor, "M h w"]:
        self._refiner.reset()
        return self._refiner.refine(truth).scores()


class Proposed:
    """The label encoder's proposal: one forward pass, no solve."""

    name = "segcode, proposal alone"

    def begin(self, refiner: Refiner, image: Image) -> None:
        self._refiner = refiner

    def refine(self, truth: Truth) -> Float[Tensor, "M h w"]:
        return self._refiner.propose(truth).logits
