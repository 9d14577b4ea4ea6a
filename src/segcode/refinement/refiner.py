"""Set an image once, refine it many times: the one path of refinement that every caller uses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from segcode.data.resize import resize_image
from segcode.errors import DataError, TruthError
from segcode.model.features import Pyramid
from segcode.model.segcode import SegCode
from segcode.refinement.config import RefinementConfig, Solver, Stopping
from segcode.refinement.first_order import adam, lbfgs
from segcode.refinement.gauss_newton import gauss_newton
from segcode.refinement.labelling import labels_of
from segcode.refinement.levenberg_marquardt import levenberg_marquardt
from segcode.refinement.linearise import Linearised, Remembering, linearise_at
from segcode.refinement.objective import Objective, Prior
from segcode.refinement.problem import OUT, Held, held_at, pose, prior_of
from segcode.refinement.solution import Solution, Status
from segcode.refinement.wholeness import told_as_whole
from segcode.resampling import resize
from segcode.tensors import Image, ImageBatch, LabelImage
from segcode.truth.mask import label_truth
from segcode.truth.truth import Truth, paste

SOLVERS: Final[dict[Solver, Callable[[Objective, Float[Tensor, "N"], Stopping], Solution]]] = {
    "levenberg_marquardt": levenberg_marquardt,
    "gauss_newton": gauss_newton,
    "adam": adam,
    "lbfgs": lbfgs,
}


@dataclass(frozen=True)
class Elsewhere:
    """Classes that are nowhere but where the truth tells them.

    Attributes:
        whole: these classes.
        told: where the truth tells a class.
    """

    whole: Bool[Tensor, "M"]
    told: Bool[Tensor, "H W"]

    @property
    def ruled_out(self) -> Bool[Tensor, "M H W"]:
        """Where each class is not."""
        return self.whole[:, None, None] & ~self.told

    def without(self, maps: Float[Tensor, "M H W"], value: float) -> Float[Tensor, "M H W"]:
        """The maps, with a value where their class is not."""
        return maps.masked_fill(self.ruled_out, value) if self.whole.any() else maps

    def labels(self, logits: Float[Tensor, "M h w"]) -> UInt8[Tensor, "H W"]:
        """The class of each pixel, at the size of `told`, from logits on another grid."""
        size = self.told.shape[0], self.told.shape[1]
        labels = labels_of(logits, size)
        if self.whole.any():
            others = labels_of(logits.masked_fill(self.whole[:, None, None], OUT), size)
            labels = torch.where(self.told, labels, others)
        return labels


@dataclass(frozen=True)
class _Seen:
    """What an image alone gives: all that its refinements share.

    Attributes:
        size: rows and columns of the image.
        image: as the network sees it, in 0..1.
        origin: the code whose map counts as the first prediction; codes are solved for, and drawn, relative to it.
        linearised: at the image, around the origin.
        held: where its first prediction is held.
        uncertainty: b at the image's size.
    """

    size: tuple[int, int]
    image: Float[Tensor, "1 3 h w"]
    origin: Float[Tensor, "N"]
    linearised: Remembering
    held: Held
    uncertainty: Float[ndarray, "H W"]

    @property
    def memory(self) -> int:
        """Bytes of its tensors."""
        tensors = (self.image, *self.linearised.tensors, *self.held)
        return sum(tensor.nbytes for tensor in tensors if tensor is not None) + self.uncertainty.nbytes


@dataclass(frozen=True)
class SegmentationMap:
    """A map at the size that its image came in, and the network's own output for it.

    Attributes:
        labels: class indices (H, W).
        code: c of S = f(I, c), (N,).
        logits: on the network's grid, (M, h, w).
        uncertainty: b at the image's size; it depends on the image, not on the code.
        elsewhere: the classes that the truth tells all of, or was taken to, and where it tells a class.
        solution: how the code was found, relative to that of the first prediction; None where no truth was used.
    """

    labels: LabelImage
    code: Float[Tensor, "N"]
    logits: Float[Tensor, "M h w"]
    uncertainty: Float[ndarray, "H W"]
    elsewhere: Elsewhere
    solution: Solution | None = None

    @property
    def ruled_out(self) -> Bool[Tensor, "M H W"]:
        """The classes that a pixel is not of, since the truth was taken to tell all of them."""
        return self.elsewhere.ruled_out

    def scores(self) -> Float[Tensor, "M H W"]:
        """The logits at the image's size; -inf where a class is ruled out."""
        return self.elsewhere.without(_resized(self.logits[None], self.uncertainty.shape)[0], -torch.inf)

    def labels_at(self, size: tuple[int, int]) -> LabelImage:
        """The labels at another size, such as that of the photograph of which a smaller copy was refined.

        The logits are not resized for it: all of them for a large photograph would take gigabytes.
        """
        told = functional.interpolate(self.elsewhere.told[None, None].float(), size, mode="nearest-exact")[0, 0].bool()
        return replace(self.elsewhere, told=told).labels(self.logits).cpu().numpy()

    def pasted(self, truth: Truth) -> LabelImage:
        """The labels with the truth standing in them as it was given."""
        return paste(self.scores(), truth).cpu().numpy().astype(np.uint8)

    def entropy(self) -> Float[ndarray, "H W"]:
        """Entropy of the class probabilities in nats, at the image's size; unlike b it follows the code."""
        return entropy(self.scores().softmax(0)).cpu().numpy()


@dataclass(frozen=True)
class Predictive:
    """What is known of an image once the code's own uncertainty is averaged over, at the image's size.

    Attributes:
        probabilities: of each class, (M, H, W).
        spread: how much the codes that explain the truth differ on a pixel: the mutual information of its class and
            the code, in nats. 0 where they agree, however unsure each of them is.
    """

    probabilities: Float[ndarray, "M H W"]
    spread: Float[ndarray, "H W"]

    def entropy(self) -> Float[ndarray, "H W"]:
        """Of the probabilities, in nats."""
        return entropy(torch.from_numpy(self.probabilities)).numpy()


class Refiner:
    """Predict, refine and sample maps of one image at a time."""

    def __init__(self, model: SegCode, config: RefinementConfig | None = None, device: str | None = None) -> None:
        """Take a model, and compute on a device ("cpu", "cuda:1"), or else where the model is."""
        self.device = torch.device(device) if device else next(model.parameters()).device
        self.model = model.to(self.device).eval()
        self.config = config or RefinementConfig()
        self._first: _Seen | None = None
        self._now: _Seen | None = None
        self._code = torch.zeros(model.config.code_size, device=self.device)
        self._objective: Objective | None = None
        self._factor: Tensor | None = None
        self._elsewhere = self._nowhere((0, 0))

    @torch.no_grad()
    def set_image(self, image: Image) -> SegmentationMap:
        """Linearise the model at an RGB image (H, W, 3) of any size; returns the zero-code prediction (Eq. 6).

        The network sees the image scaled to as many pixels as its training images had, with its own aspect ratio.

        Raises:
            DataError: if that is no RGB image of bytes, or an empty one.
        """
        check_image(image)
        size = (image.shape[0], image.shape[1])
        pixels = torch.from_numpy(resize_image(image, *_network_size(size, self.model.config.size)))
        batch = pixels.to(self.device).permute(2, 0, 1)[None].float() / 255
        linearised = linearise_at(self.model, self.model.features(batch))
        self._first = self._now = _Seen(
            size,
            batch,
            torch.zeros_like(self._code),
            linearised.remembering(),
            held_at(linearised, self.config.held).curved(),
            _resized(linearised.uncertainty[None, None], size)[0, 0].cpu().numpy(),
        )
        self.reset()
        return self._map(linearised.base, self._code, self._elsewhere)

    @torch.no_grad()
    def start_from(self, code: Float[Tensor, "N"]) -> SegmentationMap:
        """Take the map of a code, such as a sample's, for the first prediction, and forget the truth.

        S0 + J c = S(code) + J (c - code): prior and hold are around the code from then on. `reset` goes back.

        Raises:
            DataError: if the code has another length than the model's.
        """
        self._check_code(code)
        seen, code = self._seen, code.to(self.device)
        linearised = replace(seen.linearised, base=self._logits(code))
        self._now = replace(
            seen,
            origin=code,
            linearised=linearised,
            held=seen.held._replace(base=linearised.base_at(seen.held.pixels)).curved(),
        )
        self._forget()
        return self._map(linearised.base, code, self._elsewhere)

    def reset(self) -> None:
        """Forget the truth and where `start_from` started: back to zero code."""
        self._now = self._first
        self._forget()

    def _forget(self) -> None:
        self._code = self._seen.origin
        self._objective = self._factor = None
        self._elsewhere = self._nowhere(self._seen.size)

    def decode(self, code: Float[Tensor, "N"]) -> SegmentationMap:
        """The map of any code, S = f(I, c).

        Raises:
            DataError: if the code has another length than the model's.
        """
        self._check_code(code)
        code = code.to(self.device)
        return self._map(self._logits(code), code, self._nowhere(self._seen.size))

    @torch.no_grad()
    def propose(self, truth: Truth) -> SegmentationMap:
        """The map of the code that the label encoder proposes for the truth, in one forward pass and without a solve.

        Raises:
            TruthError: if the truth is for an image of another size, or for other classes.
        """
        self._check(truth)
        return self.decode(self._seen.origin + self._proposal(truth.resized(self.linearised.size)))

    @torch.no_grad()
    def infer(self, truth: Truth) -> SegmentationMap:
        """Zero code, and a class that seems to be told as a whole is ruled out elsewhere: what `refine` infers, alone.

        Raises:
            TruthError: if the truth is for an image of another size, or for other classes.
        """
        self._check(truth)
        whole = self._whole(truth, truth.resized(self.linearised.size))
        return self._map(self.linearised.base, self._seen.origin, self._out(whole, truth))

    @torch.no_grad()
    def refine(self, truth: Truth) -> SegmentationMap:
        """The map of the code that explains the truth best.

        A class that is told as a whole, or seems to be, is ruled out elsewhere.
        The search starts from the code of the last call, at first from the mean of the prior.

        Raises:
            TruthError: if the truth is for an image of another size, or for other classes.
        """
        self._check(truth)
        return self._towards(truth, self.config)

    @torch.no_grad()
    def follow(self, truth: Truth) -> SegmentationMap:
        """The map on the way to that of `refine`, sooner: for truth that is still being drawn, many times a second.

        The solver takes two steps from the code of the last call, with the matrix of then as long as that serves.
        A call of `refine` is due once the truth stays.

        Raises:
            TruthError: if the truth is for an image of another size, or for other classes.
        """
        self._check(truth)
        two_steps = replace(self.config, stopping=replace(self.config.stopping, steps=2))
        return self._towards(truth, two_steps, self._factor)

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0) -> list[SegmentationMap]:
        """Maps of codes drawn from the Gaussian around zero code, or after `refine` around the code found.

        Its covariance is the inverse of the Gauss-Newton matrix there (Laplace's approximation), so what the truth
        has settled stays, and what it left open varies. Before any truth, and with `hold=0`, that is N(0, I).
        """
        return [self._map(self._logits(code), code, self._elsewhere) for code in self._codes(count, seed)]

    @torch.no_grad()
    def predictive(self, count: int = 16, seed: int = 0) -> Predictive:
        """Class probabilities with what is unknown of the code averaged over: the mean over `sample`'s codes."""
        drawn = [self._logits(code).softmax(0) for code in self._codes(count, seed)]
        mean = torch.stack(drawn).mean(0)
        spread = entropy(mean) - torch.stack([entropy(p) for p in drawn]).mean(0)
        allowed = self._elsewhere.without(_resized(mean[None], self._seen.size)[0], 0.0)
        return Predictive(
            (allowed / allowed.sum(0)).cpu().numpy(),
            _resized(spread[None, None], self._seen.size)[0, 0].clamp(min=0).cpu().numpy(),
        )

    def _codes(self, count: int, seed: int) -> Float[Tensor, "count N"]:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, len(self._code), generator=generator).to(self.device)
        lower = torch.linalg.cholesky(self._precision())
        return self._code + torch.linalg.solve_triangular(lower.T, noise.T, upper=True).T

    @property
    def covariance(self) -> Float[Tensor, "N N"]:
        """Of the code given the truth, or given none: the inverse of the Gauss-Newton matrix (Laplace)."""
        return torch.cholesky_inverse(torch.linalg.cholesky(self._precision()))

    @torch.no_grad()
    def _precision(self) -> Float[Tensor, "N N"]:
        return (self._objective or self._untold()).at(self._code - self._seen.origin).matrix()

    def _untold(self) -> Objective:
        nothing = Truth.empty(self.linearised.size, self.model.config.classes)
        prior = Prior.standard(len(self._code), self.device)
        return pose(
            self.linearised, self._seen.held, nothing, nothing.complete(), prior, self.model.evidence, self.config
        )

    def encode(self, labels: LabelImage) -> SegmentationMap:
        """The map of the label encoder's code for a whole label image (H, W), IGNORE where unknown.

        Raises:
            TruthError: if the labels are of another size than the image, or of other classes.
        """
        return self.propose(label_truth(labels, self.model.config.classes))

    @property
    def image(self) -> ImageBatch:
        """The image as the network sees it, (1, 3, h, w) in 0..1."""
        return self._seen.image

    @property
    def features(self) -> Pyramid:
        """The network's features of the image, by stride."""
        return self.linearised.features

    @property
    def linearised(self) -> Linearised:
        """The image as a function of the code."""
        return self._seen.linearised

    @property
    def memory(self) -> int:
        """Bytes that the image takes, beside the model."""
        return self._seen.memory

    @property
    def _seen(self) -> _Seen:
        if self._now is None:
            raise TruthError("no image is set: call set_image(image) first")
        return self._now

    def _towards(self, truth: Truth, config: RefinementConfig, factor: Tensor | None = None) -> SegmentationMap:
        """The map that truth leads to, the solver's matrix of before being given or not."""
        small, origin = truth.resized(self.linearised.size), self._seen.origin
        kind = self.model.config.prior if config.prior == "model" else config.prior
        prior = prior_of(self.model, small, kind, lambda: self._proposal(small))
        inferred, complete = self._whole(truth, small), truth.complete()
        told, whole = small.completed(inferred & ~complete), inferred | complete
        objective = pose(self.linearised, self._seen.held, told, whole, prior, self.model.evidence, config)
        start = prior.mean if self._objective is None else self._code - origin
        solution = solve(objective, start, config, factor)
        self._code, self._objective, self._factor = origin + solution.code, objective, solution.factor
        self._elsewhere = self._out(whole, truth)
        return self._map(self._logits(self._code), self._code, self._elsewhere, solution)

    def _proposal(self, small: Truth) -> Float[Tensor, "N"]:
        """The label encoder's mean code for truth on the network's grid."""
        known = small.planes()[None].to(self.device)
        return self.model.label_encoder(known, self.linearised.base[None], self.features).mean[0]

    def _whole(self, truth: Truth, small: Truth) -> Bool[Tensor, "M"]:
        """The classes that are taken to be told as a whole."""
        if not self.config.infer_whole:
            return torch.zeros_like(small.told[0])
        return told_as_whole(truth, small, self.linearised.base)

    @torch.no_grad()
    def _logits(self, code: Float[Tensor, "N"]) -> Float[Tensor, "M h w"]:
        return self.linearised.logits((code - self._seen.origin)[None])[0]

    def _map(
        self,
        logits: Float[Tensor, "M h w"],
        code: Float[Tensor, "N"],
        elsewhere: Elsewhere,
        solution: Solution | None = None,
    ) -> SegmentationMap:
        labels = elsewhere.labels(logits).cpu().numpy()
        return SegmentationMap(labels, code, logits, self._seen.uncertainty, elsewhere, solution)

    def _out(self, whole: Bool[Tensor, "M"], truth: Truth) -> Elsewhere:
        """These classes are out but where they are told; all cannot be, for then a pixel would be of none."""
        return Elsewhere((whole & ~whole.all()).to(self.device), truth.revealed().to(self.device))

    def _nowhere(self, size: tuple[int, int]) -> Elsewhere:
        """No class is ruled out."""
        nothing = torch.zeros(self.model.config.classes + 1, dtype=torch.bool, device=self.device)
        return Elsewhere(nothing[1:], nothing[0].expand(size))

    def _check_code(self, code: Float[Tensor, "N"]) -> None:
        if code.shape != self._code.shape:
            raise DataError(f"the code has {len(code)} numbers, the model's codes have {len(self._code)}")

    def _check(self, truth: Truth) -> None:
        classes = self.model.config.classes
        if truth.size != self._seen.size:
            raise TruthError(
                f"the truth is for {_times(truth.size)} pixels, the image has {_times(self._seen.size)}: "
                "draw the truth on the image itself, or resize it first"
            )
        if truth.allowed.shape[1] != classes:
            raise TruthError(f"the truth is for {truth.allowed.shape[1]} classes, the model has {classes}")


def entropy(probability: Float[Tensor, "M h w"]) -> Float[Tensor, "h w"]:
    """Of class probabilities, in nats."""
    return -torch.xlogy(probability, probability).sum(0)


def check_image(image: ndarray) -> None:
    """Raises DataError if an array is not (H, W, 3) of bytes."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(
            f"the image is {_times(image.shape)} of {image.dtype}: give rows x columns x 3 (RGB) of uint8, 0..255"
        )


def solve(
    objective: Objective,
    start: Float[Tensor, "N"],
    config: RefinementConfig,
    factor: Float[Tensor, "N N"] | None = None,
) -> Solution:
    """The code of least energy; the prior's mean for empty truth.

    "gauss_newton" starts with the matrix of an earlier solution, if the factor of that is given.
    """
    if objective.told == 0:
        return Solution(objective.prior.mean, (0.0,), Status.NO_TRUTH)
    if factor is not None and config.solver == "gauss_newton":
        return gauss_newton(objective, start, config.stopping, factor)
    return SOLVERS[config.solver](objective, start, config.stopping)


def _network_size(size: tuple[int, int], training: tuple[int, int]) -> tuple[int, int]:
    scale = math.sqrt(math.prod(training) / math.prod(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resized(maps: Float[Tensor, "k M h w"], size: tuple[int, ...]) -> Float[Tensor, "k M H W"]:
    return resize(maps, size)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
