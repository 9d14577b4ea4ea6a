"""Set an image once, refine it many times: the one path of refinement that every caller uses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from segcode.data.resize import resize_image, resize_labels
from segcode.errors import DataError, TruthError
from segcode.model.segcode import SegCode
from segcode.refinement.config import RefinementConfig, Solver, Stopping
from segcode.refinement.first_order import adam, lbfgs
from segcode.refinement.gauss_newton import gauss_newton
from segcode.refinement.levenberg_marquardt import levenberg_marquardt
from segcode.refinement.linearise import Linearised, linearise
from segcode.refinement.objective import Objective
from segcode.refinement.solution import Solution, Status
from segcode.tensors import Image, LabelImage
from segcode.truth.truth import Truth, paste

SOLVERS: Final[dict[Solver, Callable[[Objective, Float[Tensor, "N"], Stopping], Solution]]] = {
    "levenberg_marquardt": levenberg_marquardt,
    "gauss_newton": gauss_newton,
    "adam": adam,
    "lbfgs": lbfgs,
}


@dataclass(frozen=True)
class SegmentationMap:
    """A map at the size that its image came in, and the network's own output for it.

    Attributes:
        labels: class indices (H, W).
        logits: on the network's grid, (M, h, w).
        uncertainty: b at the image's size; it depends on the image, not on the code.
        solution: the code and how it was found; None where no truth was used.
    """

    labels: LabelImage
    logits: Float[Tensor, "M h w"]
    uncertainty: Float[ndarray, "H W"]
    solution: Solution | None = None

    def pasted(self, truth: Truth) -> LabelImage:
        """The labels with the truth standing in them as it was given."""
        logits = _resized(self.logits[None], self.uncertainty.shape)[0]
        return paste(logits, truth).cpu().numpy().astype(np.uint8)

    def entropy(self) -> Float[ndarray, "H W"]:
        """Entropy of the class probabilities in nats, at the image's size; unlike b it follows the code."""
        log_p = self.logits.log_softmax(0)
        entropy = -(log_p.exp() * log_p).sum(0)
        return _resized(entropy[None, None], self.uncertainty.shape)[0, 0].cpu().numpy()


class Refiner:
    """Predict, refine and sample maps of one image at a time."""

    def __init__(self, model: SegCode, config: RefinementConfig | None = None, device: str | None = None) -> None:
        """Take a model, and compute on a device ("cpu", "cuda:1"), or else where the model is."""
        self.device = torch.device(device) if device else next(model.parameters()).device
        self.model = model.to(self.device).eval()
        self.config = config or RefinementConfig()
        self._size = (0, 0)
        self._tensor = torch.empty(0)
        self._linearised: Linearised | None = None
        self._code = torch.zeros(model.config.code_size, device=self.device)
        self._truth: Truth | None = None

    def set_image(self, image: Image) -> SegmentationMap:
        """Linearise the model at an RGB image (H, W, 3) of any size; returns the zero-code prediction (Eq. 6).

        The network sees the image scaled to as many pixels as its training images had, with its own aspect ratio.

        Raises:
            DataError: if that is no RGB image of bytes, or an empty one.
        """
        check_image(image)
        self._size = (image.shape[0], image.shape[1])
        rows, columns = _network_size(self._size, self.model.config.size)
        pixels = torch.from_numpy(resize_image(image, rows, columns))
        self._tensor = pixels.to(self.device).permute(2, 0, 1)[None].float() / 255
        self._linearised = linearise(self.model, self._tensor)
        self.reset()
        return self._map(self._code)

    def reset(self) -> None:
        """Forget the truth: back to zero code."""
        self._code = torch.zeros_like(self._code)
        self._truth = None

    @torch.no_grad()
    def refine(self, truth: Truth) -> SegmentationMap:
        """The map of the code that explains the truth best; starts from the code of the last call.

        Raises:
            TruthError: if the truth is for an image of another size, or for other classes.
        """
        self._check(truth)
        solution = solve(self._objective(truth), self._code, self.config)
        self._code, self._truth = solution.code, truth
        return self._map(solution.code, solution)

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0) -> list[SegmentationMap]:
        """Maps of codes drawn from N(0, I), or after `refine` from the Gaussian around the code found.

        Its covariance is the inverse of the Gauss-Newton matrix there (Laplace's approximation), so what the truth
        has settled stays, and what it left open varies.
        """
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, len(self._code), generator=generator).to(self.device)
        if self._truth is not None:
            lower = torch.linalg.cholesky(self._objective(self._truth).quadratic(self._code).matrix)
            noise = torch.linalg.solve_triangular(lower.T, noise.T, upper=True).T
        return [self._map(self._code + offset) for offset in noise]

    @torch.no_grad()
    def encode(self, labels: LabelImage) -> SegmentationMap:
        """The map of the label encoder's code: the best that this model's code can say of known labels (H, W)."""
        if labels.shape != self._size:
            raise TruthError(
                f"labels are {_times(labels.shape)}, the image is {_times(self._size)}: give labels of its size"
            )
        small = torch.from_numpy(resize_labels(labels, *self.linearised.size))
        code = self.model.label_encoder(small[None].to(self.device), self.model.features(self._tensor)).mean[0]
        return self._map(code)

    @property
    def linearised(self) -> Linearised:
        """The image as a function of the code."""
        if self._linearised is None:
            raise TruthError("no image is set: call set_image(image) first")
        return self._linearised

    def _objective(self, truth: Truth) -> Objective:
        return objective_of(self.linearised, truth, self.config)

    @torch.no_grad()
    def _map(self, code: Float[Tensor, "N"], solution: Solution | None = None) -> SegmentationMap:
        logits = self.linearised.logits(code[None])
        labels = _resized(logits, self._size).argmax(1)[0].to(torch.uint8).cpu().numpy()
        uncertainty = _resized(self.linearised.uncertainty[None, None], self._size)[0, 0].cpu().numpy()
        return SegmentationMap(labels, logits[0], uncertainty, solution)

    def _check(self, truth: Truth) -> None:
        classes = self.model.config.classes
        if truth.size != self._size:
            raise TruthError(
                f"the truth is for {_times(truth.size)} pixels, the image has {_times(self._size)}: "
                "draw the truth on the image itself, or resize it first"
            )
        if truth.allowed.shape[1] != classes:
            raise TruthError(f"the truth is for {truth.allowed.shape[1]} classes, the model has {classes}")


def check_image(image: ndarray) -> None:
    """Raises DataError if an array is not (H, W, 3) of bytes."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(
            f"the image is {_times(image.shape)} of {image.dtype}: give rows x columns x 3 (RGB) of uint8, 0..255"
        )


def objective_of(linearised: Linearised, truth: Truth, config: RefinementConfig) -> Objective:
    """The energy of truth given at the image's size, on the network's grid, weighted as independent evidence."""
    truth = truth.resized(linearised.size).thinned(config.pixels)
    known = truth.weight.sum()
    scale = config.evidence * known.clamp(min=1e-9) ** (config.growth - 1)
    device = linearised.base.device
    return Objective(
        linearised.base_at(truth.pixels),
        linearised.jacobian(truth.pixels),
        truth.allowed.to(device),
        (scale * truth.weight).to(device),
        config.energy,
    )


def solve(objective: Objective, start: Float[Tensor, "N"], config: RefinementConfig) -> Solution:
    """The code of least energy; zero for empty truth."""
    if len(objective.base) == 0:
        return Solution(torch.zeros_like(start), (0.0,), Status.NO_TRUTH)
    return SOLVERS[config.solver](objective, start, config.stopping)


def _network_size(size: tuple[int, int], training: tuple[int, int]) -> tuple[int, int]:
    scale = math.sqrt(math.prod(training) / math.prod(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resized(maps: Float[Tensor, "k M h w"], size: tuple[int, ...]) -> Float[Tensor, "k M H W"]:
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
