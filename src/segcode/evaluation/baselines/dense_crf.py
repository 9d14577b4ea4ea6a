"""Fully connected CRF with Gaussian edges (Krähenbühl and Koltun 2011), by their code in `pydensecrf2`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import softmax

from segcode.errors import ConfigError
from segcode.evaluation.methods import Method
from segcode.interpolation import resize
from segcode.refinement.refiner import Refiner
from segcode.tensors import Image
from segcode.truth.truth import Truth

CLAMPED = 50.0
"""Energy of an excluded class: more than all neighbours together can outweigh."""


@dataclass(frozen=True)
class DenseCRFConfig:
    """Potts energies of two kernels, and steps of mean-field inference.

    Attributes:
        smoothing: weight of the kernel of position alone.
        smoothing_deviation: its reach in pixels.
        bilateral: weight of the kernel of position and colour.
        bilateral_deviation: its reach in pixels.
        colour_deviation: its reach in colour, of 255.
    """

    smoothing: float = 0.3
    smoothing_deviation: float = 2.5
    bilateral: float = 2.0
    bilateral_deviation: float = 60.0
    colour_deviation: float = 10.0
    steps: int = 5


def is_installed() -> bool:
    """Whether the library is there."""
    return find_spec("pydensecrf") is not None


class DenseCRF:
    """The map of another method, smoothed along the image, with labelled pixels clamped to their classes.

    Args:
        first: the method whose logits give the unary energies, -log p.

    Raises:
        ConfigError: if the library is not installed.
    """

    def __init__(self, first: Method, config: DenseCRFConfig) -> None:
        if not is_installed():
            raise ConfigError("DenseCRF needs the library pydensecrf2: pip install 'segcode[rivals]'")
        self.first = first
        self.config = config

    @property
    def name(self) -> str:
        return f"{self.first.name}, DenseCRF"

    def begin(self, refiner: Refiner, image: Image) -> None:
        self.first.begin(refiner, image)
        self._image = np.ascontiguousarray(image)

    def refine(self, truth: Truth) -> Float[ndarray, "M H W"]:
        probability = resize(softmax(self.first.refine(truth), 0), truth.size)
        return self._infer(_penalty(truth) - np.log(np.maximum(probability, 1e-12)))

    def _infer(self, energy: Float[ndarray, "M H W"]) -> Float[ndarray, "M H W"]:
        """Log-probabilities after mean-field inference."""
        from pydensecrf.densecrf import DenseCRF2D

        config, (classes, rows, columns) = self.config, energy.shape
        field = DenseCRF2D(columns, rows, classes)
        field.setUnaryEnergy(np.ascontiguousarray(energy.reshape(classes, -1), np.float32))
        field.addPairwiseGaussian(config.smoothing_deviation, config.smoothing)
        field.addPairwiseBilateral(config.bilateral_deviation, config.colour_deviation, self._image, config.bilateral)
        probability = np.array(field.inference(config.steps), np.float32)
        return np.log(np.maximum(probability, 1e-12)).reshape(classes, rows, columns)


def _penalty(truth: Truth) -> Float[ndarray, "M H W"]:
    """The energy of the classes that the truth leaves out, at labelled pixels and elsewhere (exhaustive classes)."""
    impossible = truth.excluded()
    impossible |= truth.known_mask & (np.arange(truth.classes)[:, None, None] != truth.labels)
    return np.where(impossible, np.float32(CLAMPED), np.float32(0))
