"""Set an image once, refine it many times: a stateful shell over the pure functions of `field`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import softmax

from segcode.edges.features import edge_features
from segcode.errors import DataError, TruthError
from segcode.field.constants import FieldConstants, load_constants
from segcode.field.grid import Grid
from segcode.field.kept import Kept
from segcode.field.likelihood import Observations
from segcode.field.look import expected_changes
from segcode.field.newton import SHARE
from segcode.field.posterior import Posterior, condition, preview
from segcode.field.precision import Precision, cell_pull, edge_weights
from segcode.interpolation import at_cells, nearest, resize
from segcode.prediction import CallableSegmenter, CodePath, InitialPrediction, Segmenter, takes_name
from segcode.refinement.borders import along_outlines
from segcode.refinement.code_path import Entries, draw
from segcode.refinement.config import Stopping
from segcode.refinement.gauss_newton import gauss_newton
from segcode.refinement.guide import Guide
from segcode.refinement.layers import Layers
from segcode.refinement.objective import PartialLabelNLL
from segcode.refinement.observations import observe, region_of_cells, settled_cells
from segcode.refinement.places import Place, places_to_look
from segcode.refinement.result import SegmentationMap, Status, entropy, masked_softmax
from segcode.tensors import Image, Pixels, shape_text
from segcode.truth.truth import Truth

CODE_CELLS: Final = 256
"""Labelled cells that a code follows from at most, where it is found before the field."""


class _Code:
    """The code path at the cells of the field, for codes in units of s."""

    def __init__(self, path: CodePath, grid: Grid, constants: FieldConstants) -> None:
        self._deviation = float(np.sqrt(constants.code_variance))
        self._path, self._grid = path, grid
        self._factor = self._deviation / constants.temperature
        self._weight, self._label_weight = constants.code_weight, constants.label_weight
        self._pixels = _pixels_at(grid, path.size)
        self.code_size = path.code_size
        self.jacobian = Kept(self._jacobian)
        path.jacobian(self._pixels[:0])  # what all pixels share is computed with the image, not with its first label
        self._last: tuple[Float[ndarray, "N"], Float[ndarray, "M h w"]] | None = None

    def scaled(self, code: Float[ndarray, "N"]) -> Float[ndarray, "N"]:
        """The code itself, from one in units of s."""
        return np.asarray(self._deviation * code, np.float32)

    def added(self, code: Float[ndarray, "N"]) -> Float[ndarray, "M h w"]:
        """The part of the code in the logits, on the grid of the code path; that of the last code is kept."""
        if self._last is None or self._last[0] is not code:
            self._last = code, self._path.added(np.asarray(self._factor * code, np.float32)[None])[0]
        return self._last[1]

    def explaining(self, observations: Observations, base: Float[ndarray, "c M"]) -> Float[ndarray, "N"]:
        """The code that explains many labels before the field does: it minimises w sum_i e_i(c) + 1/2 |c|^2 / s^2.

        Neighbouring cells err alike, so each counts w = `FieldConstants.code_weight`. `CODE_CELLS` entries are drawn.
        """
        entries = Entries(observations.cells[observations.place], observations.allowed, observations.weight)
        root = self._weight**0.5
        cells, allowed, weight = draw(entries, base, CODE_CELLS)
        jacobian = root * self._factor * self._path.jacobian(self._pixels[cells])
        weights = np.asarray(weight / self._label_weight, np.float32)
        objective = PartialLabelNLL(base[cells].astype(np.float32), jacobian, weights, allowed)
        solution = gauss_newton(objective, np.zeros(self.code_size, np.float32), Stopping(tolerance=SHARE))
        return root * solution.code.astype(np.float64)

    def times(self, code: Float[ndarray, "N"]) -> Float[ndarray, "c M"]:
        """The same at all cells."""
        return _at_cells(self.added(code), self._grid)

    def _jacobian(self, cells: ndarray) -> Float[ndarray, "n M N"]:
        return self._factor * self._path.jacobian(self._pixels[cells]).astype(np.float64)


@dataclass(frozen=True)
class _OpenImage:
    """The state of an image, shared by all its refinements.

    Attributes:
        size: rows and columns of the image.
        prediction: the initial prediction; its logits divided by the temperature.
        layers: these logits on a grid at least as fine as the field's.
        guide: the image over that grid.
        base: these logits at the cells of the field.
        precision: the prior of the field.
        code: the code path, where the segmenter has one and its prior variance is above 0.
    """

    size: tuple[int, int]
    prediction: InitialPrediction
    layers: Layers
    guide: Guide | None
    base: Float[ndarray, "c M"]
    precision: Precision
    code: _Code | None


@dataclass(frozen=True)
class Predictive:
    """Class probabilities with the posterior of field and code averaged over, at the size of the image.

    Attributes:
        probabilities: of each class, (M, H, W).
        mutual_information: of the class of a pixel and the logits, in nats (Houlsby et al. 2011): what a label there
            would tell of field and code. 0 where the draws agree, however unsure each of them is.
    """

    probabilities: Float[ndarray, "M H W"]
    mutual_information: Float[ndarray, "H W"]

    def entropy(self) -> Float[ndarray, "H W"]:
        """The entropy of the probabilities in nats."""
        return entropy(self.probabilities)


class Refiner:
    """Predict, refine and sample maps of one image at a time, from any segmenter."""

    def __init__(
        self,
        segmenter: Segmenter | Callable[[Image], Any],
        constants: FieldConstants | None = None,
    ) -> None:
        """Take a segmenter.

        Args:
            segmenter: a segcode model, alone or as `load_model` returns it; another `Segmenter`, such as
                `open_segmenter` gives; or a function from an RGB image to logits or probabilities (M, h, w).
            constants: of the Gaussian model; the shipped ones by default.
        """
        self._segmenter = as_segmenter(segmenter)
        self.constants = constants or load_constants()
        self._open: _OpenImage | None = None
        self._current: _OpenImage | None = None
        self._posterior: Posterior | None = None
        self._truth: Truth | None = None

    def set_image(self, image: Image, name: str | None = None) -> SegmentationMap:
        """Run the segmenter and factorise the field's prior for an RGB image (H, W, 3) of any size.

        Args:
            image: its pixels.
            name: what segmenters that read files find its file by; see `Segmenter.predict`.

        Returns:
            the initial prediction; of a segcode model, that of zero code (Eq. 6).

        Raises:
            DataError: if that is no RGB image of bytes, or an empty one, or if the segmenter returns no logits.
        """
        check_image(image)
        size = (image.shape[0], image.shape[1])
        prediction = self._segmenter.predict(image, name)
        temperature = self.constants.temperature
        b = None if prediction.b is None else prediction.b / temperature
        prediction = replace(prediction, base_logits=prediction.base_logits / temperature, b=b)
        grid = Grid.over(size)
        features = edge_features(image, grid, prediction)
        weights = edge_weights(features, grid, self.constants)
        base = _at_cells(prediction.base_logits, grid)
        pull = cell_pull(base, self.constants)
        precision = Precision(grid, weights, pull, self.constants.prior_variance).factorised()
        layers = _layers(prediction.base_logits, grid)
        guide, code = Guide.of(image, layers.grid), self._code_of(prediction, grid)
        self._open = self._current = _OpenImage(size, prediction, layers, guide, base, precision, code)
        self.reset()
        return self._initial()

    def reset(self) -> None:
        """Forget the truth, and the map that `start_from` was given."""
        self._current, self._posterior, self._truth = self._image, None, None

    def start_from(self, start: SegmentationMap) -> SegmentationMap:
        """Take a map, such as a sample, for the initial prediction, and forget the truth; `reset` goes back."""
        image = self._image
        logits, grid = start.logits, image.precision.grid
        prediction = replace(image.prediction, base_logits=logits)
        self.reset()
        layers, base = _layers(logits, grid), _at_cells(logits, grid)
        self._current = replace(image, prediction=prediction, layers=layers, base=base)  # the code path keeps its grid
        return self._initial()

    def refine(self, truth: Truth) -> SegmentationMap:
        """The most likely map given the truth, independent of earlier truths.

        Raises:
            TruthError: if the truth is for an image of another size, or for other classes.
        """
        image = self._checked(truth)
        observations = observe(truth, image.precision.grid, self.constants.label_weight)
        settled = partial(settled_cells, truth, image.precision.grid)
        posterior = condition(image.base, self._prior(truth), observations, image.code, settled)
        self._posterior, self._truth = posterior, truth
        status = Status(len(observations), posterior.steps, posterior.converged)
        return self._map(posterior.field, posterior.code, truth, status)

    def preview(self, truth: Truth) -> SegmentationMap:
        """A map in closed form, sooner than that of `refine`: use while a stroke is in progress.

        Labels beyond those of the last `refine` are added to its posterior; new outlines do not count yet.

        Raises:
            TruthError: if the truth is for an image of another size, or for other classes.
        """
        image = self._checked(truth)
        observations = observe(truth, image.precision.grid, self.constants.label_weight)
        posterior, known = self._conditioned()
        later = observations.beyond(observe(known, image.precision.grid, self.constants.label_weight))
        field = posterior.field
        if len(later):
            base = image.base + field
            if image.code is not None and posterior.code is not None:
                base[later.cells] += image.code.jacobian(later.cells) @ posterior.code
            field = field + preview(base, posterior, later)
        return self._map(field, posterior.code, truth, Status(len(observations), 1, True))

    def sample(self, count: int, seed: int = 0) -> list[SegmentationMap]:
        """Maps drawn from the posterior given the last truth of `refine`; from the prior before any.

        The posterior is Laplace's approximation: labelled pixels settle what is near and alike, the rest varies. Draws
        of the field lie `FieldConstants.draw_scale` times as far from the mode as it says.
        """
        posterior, truth = self._conditioned()
        draws = posterior.draw(count, seed)
        fields = posterior.field + self.constants.draw_scale * (draws.field - posterior.field)
        codes = [None] * count if draws.code is None else list(draws.code)
        status = Status(0, 0, True)
        return [self._map(field, code, truth, status) for field, code in zip(fields, codes, strict=True)]

    def predictive(self, count: int = 16, seed: int = 0) -> Predictive:
        """Class probabilities and mutual information, averaged over `count` draws from the posterior."""
        truth = self._conditioned()[1]
        mean, unsure = np.zeros(()), np.zeros(())
        for one in self.sample(count, seed):
            drawn = softmax(one.logits, 0)
            mean, unsure = mean + drawn / count, unsure + entropy(drawn) / count
        information = np.maximum(entropy(mean) - unsure, 0)
        size = self._image.size
        probabilities = masked_softmax(np.log(resize(np.maximum(mean, 1e-30), size)), truth)
        return Predictive(probabilities, np.where(truth.known_mask, 0.0, resize(information[None], size)[0]))

    def places_to_look(self, count: int = 8) -> list[Place]:
        """The places where a label is expected to change the map most, given the last truth of `refine`."""
        posterior, truth = self._conditioned()
        grid = posterior.precision.grid
        image = self._active
        logits = image.base + posterior.field
        if image.code is not None and posterior.code is not None:
            logits = logits + image.code.times(posterior.code)
        changes = expected_changes(logits, posterior, truth_cells(truth, grid))
        return places_to_look(changes, logits, grid, self._active.size, count)

    def expected_change(self) -> float:
        """The share of the map that the best next label is expected to change: orders the images of a folder."""
        places = self.places_to_look(1)
        return places[0].expected_change if places else 0.0

    @property
    def prediction(self) -> InitialPrediction:
        """The initial prediction of the image; its logits are divided by the temperature."""
        return self._active.prediction

    @property
    def nbytes(self) -> int:
        """Memory that the image takes, beside the segmenter, in bytes."""
        image, posterior = self._active, self._posterior
        held = 0 if posterior is None else posterior.nbytes
        return image.layers.nbytes + image.base.nbytes + image.precision.nbytes + held

    @property
    def _image(self) -> _OpenImage:
        if self._open is None:
            raise DataError("no image is set: call set_image first")
        return self._open

    @property
    def _active(self) -> _OpenImage:
        return self._current or self._image

    def _checked(self, truth: Truth) -> _OpenImage:
        image = self._active
        classes = image.base.shape[1]
        if truth.size != image.size:
            raise TruthError(
                f"the truth is for {shape_text(truth.size)} pixels, the image has {shape_text(image.size)}: "
                "draw the truth on the image itself, or resize it first"
            )
        if truth.classes != classes:
            raise TruthError(f"the truth is for {truth.classes} classes, the segmenter has {classes}")
        return image

    def _prior(self, truth: Truth) -> Precision:
        """The prior of the field; the outlines of a truth lower the edges that they cross."""
        prior = self._active.precision
        regions = region_of_cells(truth, prior.grid)
        if regions is None:
            return prior
        if self._posterior is not None and self._truth is not None and self._truth.regions is truth.regions:
            return self._posterior.precision
        return prior.cut(regions, self.constants.floor)

    def _code_of(self, prediction: InitialPrediction, grid: Grid) -> _Code | None:
        if prediction.code is None or self.constants.code_variance == 0:
            return None
        return _Code(prediction.code, grid, self.constants)

    def _conditioned(self) -> tuple[Posterior, Truth]:
        image = self._active
        if self._posterior is None or self._truth is None:
            truth = Truth.empty(image.size, image.base.shape[1])
            observations = observe(truth, image.precision.grid, self.constants.label_weight)
            return condition(image.base, image.precision, observations, image.code), truth
        return self._posterior, self._truth

    def _initial(self) -> SegmentationMap:
        image = self._active
        truth = Truth.empty(image.size, image.base.shape[1])
        status, b = Status(0, 0, True), image.prediction.b
        return SegmentationMap(image.layers, truth, status, b=b, guide=image.guide)

    def _map(
        self, field: Float[ndarray, "c M"], code: Float[ndarray, "N"] | None, truth: Truth, status: Status
    ) -> SegmentationMap:
        image, grid = self._active, self._active.precision.grid
        base, scaled = image.prediction.base_logits, None
        added = np.ascontiguousarray(field.T, np.float32).reshape(-1, *grid.shape)
        rest = [base]
        if code is not None and (path := image.code) is not None:
            scaled, of_code = path.scaled(code), path.added(code)
            rest.append(of_code)
            size = _finer(grid.shape, of_code.shape[1:])
            added = resize(added, size) + resize(of_code, size)
        borders = along_outlines(rest, field, truth, grid)
        return SegmentationMap(
            image.layers.plus(added), truth, status, scaled, image.prediction.b, borders, image.guide
        )


def as_segmenter(segmenter: Segmenter | Callable[[Image], Any]) -> Segmenter:
    """A segmenter from whatever predicts."""
    if isinstance(segmenter, Segmenter):
        return segmenter if takes_name(segmenter.predict) else CallableSegmenter(segmenter.predict)
    if callable(segmenter):
        return CallableSegmenter(segmenter)
    raise DataError(f"{type(segmenter).__name__} is no segmenter: give a model, or a function from an image to logits")


def check_image(image: ndarray) -> None:
    """Raises DataError if an array is not (H, W, 3) of bytes."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(
            f"the image is {shape_text(image.shape)} of {image.dtype}: give rows x columns x 3 (RGB) of uint8, 0..255"
        )


def truth_cells(truth: Truth, grid: Grid) -> ndarray:
    """The cells that a certain entry labels."""
    return np.unique(grid.cells_of(truth.certain().pixels, truth.size))


def _at_cells(logits: Float[ndarray, "M h w"], grid: Grid) -> Float[ndarray, "c M"]:
    return at_cells(logits, grid.shape).reshape(len(logits), -1).T.astype(np.float64)


def _layers(logits: Float[ndarray, "M h w"], grid: Grid) -> Layers:
    return Layers(np.ascontiguousarray(resize(logits, _finer(logits.shape[1:], grid.shape)))).prepare(grid.shape)


def _finer(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(max, first, second))


def _pixels_at(grid: Grid, size: tuple[int, int]) -> Pixels:
    """The pixel at the centre of each cell, in an image of another size."""
    rows, columns = size
    row, column = nearest(grid.rows, rows), nearest(grid.columns, columns)
    return np.stack(np.meshgrid(row, column, indexing="ij"), axis=-1).reshape(-1, 2)
