"""Effort curves: how good does the map get with how much truth, and how fast?"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, Literal
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from segcode.classes import ClassSet
from segcode.data.prefetch import prefetch
from segcode.errors import ConfigError
from segcode.evaluation.bootstrap import check_block
from segcode.evaluation.clicks import disk_truth, next_click
from segcode.evaluation.inputs import check_classes, labels_of
from segcode.evaluation.methods import Method
from segcode.evaluation.protocol import PixelSet
from segcode.evaluation.tables import error_removed
from segcode.metrics import ConfusionMatrix, confusion_matrix, defined, mean_iou, pixel_accuracy
from segcode.model.checkpoint import LoadedModel
from segcode.refinement.config import RefinementConfig
from segcode.refinement.refiner import Refiner
from segcode.resampling import resize
from segcode.sample import Source
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth, paste

ProtocolName = Literal["pixels", "clicks"]
Amount = int | Literal["whole class"]

WHOLE: Final = "whole class"
PASTED: Final = "pasted"
"""The method that the others are held against."""


@dataclass(frozen=True)
class EffortConfig:
    """How much truth is given.

    Args:
        truths: classes of which pixels are revealed, one class at a time.
        amounts: so many pixels of the class are revealed, all of them where an image has fewer; then the whole class.
        clicks: of the annotator in each image, for each method; 0 to leave that protocol out.
        radius: of the disk that a click reveals, in pixels of the labels.
        jitter: standard deviation of the clicks around where they are aimed, likewise.
        seed: of the revealed pixels and of the jitter.
        block: so many neighbouring images are drawn together for the intervals.

    Raises:
        ConfigError: if nothing would be measured, or a number is out of its range.
    """

    truths: tuple[str, ...] = ()
    amounts: tuple[int, ...] = (1, 5, 20, 100, 500)
    clicks: int = 20
    radius: float = 3.0
    jitter: float = 2.0
    seed: int = 0
    block: int = 1

    def __post_init__(self) -> None:
        if not self.truths and not self.clicks:
            raise ConfigError("no truth and no clicks: name classes to reveal, or give a number of clicks from 1 up")
        for name, lowest, value in (
            ("amounts", 1, min(self.amounts, default=1)),
            ("clicks", 0, self.clicks),
            ("radius", 0, self.radius),
            ("jitter", 0, self.jitter),
            ("seed", 0, self.seed),
            ("block", 1, self.block),
        ):
            if value < lowest:
                raise ConfigError(f"{name}: {value} is too few, give {lowest} or more")


@dataclass(frozen=True)
class Key:
    """What a row is about.

    Attributes:
        protocol: pixels of one class revealed, or clicks on the errors of all classes.
        method: its name.
        truth: the class that is revealed; None for clicks.
        amount: revealed pixels, or clicks.
        pixels: all known pixels, or those that the truth did not reveal.
    """

    protocol: ProtocolName
    method: str
    truth: str | None
    amount: Amount
    pixels: PixelSet


@dataclass(frozen=True)
class Row:
    """Scores over the data set from one confusion matrix, the truth pasted into the map; 0..1, None where undefined.

    Of pixels, all methods get the same truth. Of clicks, each gets its own, and so has its own unrevealed pixels.

    Attributes:
        error_removed: the share of the error left after pasting that is removed; of revealed pixels, on all pixels.
        images: how many the row counts; those that lack the truth's class are left out.
        seconds: median time from a truth to the map, what an image alone gives being ready; None where there was none.
    """

    protocol: ProtocolName
    method: str
    truth: str | None
    amount: Amount
    pixels: PixelSet
    pixel_accuracy: float | None
    mean_iou: float | None
    error_removed: float | None
    images: int
    seconds: float | None


@dataclass(frozen=True)
class Effort:
    """What was measured.

    Attributes:
        rows: every protocol, method, truth, amount and set of pixels.
        matrices: those that the rows sum up, one an image; the same images in the same order for every method.
        images: how many were looked at.
        block: so many neighbours are drawn together for intervals.
    """

    rows: tuple[Row, ...]
    matrices: dict[Key, list[ConfusionMatrix]]
    images: int
    block: int = 1

    def curve(
        self, protocol: ProtocolName, method: str, truth: str | None = None, pixels: PixelSet = "all"
    ) -> tuple[Row, ...]:
        """The rows of one line in a figure, from little truth to much."""
        key = (protocol, method, truth, pixels)
        return tuple(r for r in self.rows if (r.protocol, r.method, r.truth, r.pixels) == key)

    @property
    def methods(self) -> tuple[str, ...]:
        """Their names, in the order given."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def truths(self) -> tuple[str, ...]:
        """The classes that were revealed; one that no image shows is not among them."""
        return tuple(dict.fromkeys(row.truth for row in self.rows if row.truth is not None))


def measure_effort(
    trained: LoadedModel,
    source: Source,
    methods: Sequence[Method],
    config: EffortConfig,
    refinement: RefinementConfig | None = None,
    device: str = "cpu",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Effort:
    """Give each method more and more truth of every image, and count at the size of the labels.

    Revealed pixels: of each class in turn, without any other truth. Clicks: on errors of all classes, from the
    zero-code map on; each method's own map decides where the next one goes, as where clicks are counted until a map is
    good enough (NoC). Every refinement starts anew from all truth so far.

    Raises:
        ConfigError: if a truth is no class of the model, two methods have one name, or a block is longer than half the
            source.
        DataError: if the source has other classes than the model, or a sample without labels.
    """
    _check_names([method.name for method in methods])
    check_block(config.block, len(source))
    check_classes(trained, source)
    for name in config.truths:
        trained.classes.index(name)  # now, not after the first image
    refiner = Refiner(trained.model, refinement, device)
    counts = _Counts()
    samples = prefetch(source.__getitem__, range(len(source)))
    for _, sample in zip(progress(range(len(source))), samples, strict=True):
        scene = _Scene(sample.name, labels_of(sample), refiner.set_image(sample.image).labels, trained.classes)
        for method in methods:
            method.begin(refiner, sample.image)
            for step in chain(_revealing(method, scene, config), _clicking(method, scene, config)):
                counts.add(step, scene)
    return Effort(counts.rows(config.truths), dict(counts.matrices), len(source), config.block)


def total(matrices: Iterable[ConfusionMatrix]) -> ConfusionMatrix:
    """One matrix of several images."""
    return torch.stack(list(matrices)).sum(0)


def nested_masks(
    labels: LabelImage, class_index: int, amounts: Sequence[int], draw: np.random.Generator
) -> dict[Amount, Bool[ndarray, "H W"]]:
    """So many pixels of a class, evenly drawn, each set within the next larger one, and last the whole class.

    A set is the whole class where that has fewer pixels.
    """
    pixels = draw.permutation(np.flatnonzero(labels == class_index))
    masks: dict[Amount, Bool[ndarray, "H W"]] = {}
    for amount in sorted(set(amounts)):
        masks[amount] = np.zeros(labels.shape, bool)
        masks[amount].flat[pixels[:amount]] = True
    return masks | {WHOLE: labels == class_index}


@dataclass(frozen=True)
class _Scene:
    """An image's name, its true classes, its zero-code map, and what classes there are."""

    name: str
    labels: LabelImage
    zero: LabelImage
    classes: ClassSet

    def draw(self, seed: int, number: int) -> np.random.Generator:
        """By the image's name, so that a part of the data set gives the same draws."""
        return np.random.default_rng([seed, crc32(self.name.encode()), number])


@dataclass(frozen=True)
class _Step:
    """A map with the truth in it, on all pixels, and the seconds that it took."""

    key: Key
    prediction: LabelImage
    truth: Truth
    seconds: float | None


def _revealing(method: Method, scene: _Scene, config: EffortConfig) -> Iterator[_Step]:
    """Protocol "pixels" in one image; nothing for classes that it lacks."""
    for name in config.truths:
        index = scene.classes.index(name)
        if not (scene.labels == index).any():
            continue
        masks = nested_masks(scene.labels, index, config.amounts, scene.draw(config.seed, index))
        for amount, mask in masks.items():
            truth = mask_truth(mask, index, len(scene.classes))
            prediction, seconds = _refined(method, truth)
            yield _Step(Key("pixels", method.name, name, amount, "all"), prediction, truth, seconds)


def _clicking(method: Method, scene: _Scene, config: EffortConfig) -> Iterator[_Step]:
    """Protocol "clicks" in one image. Once nothing is wrong, nothing is clicked, and the map stays."""
    labels, classes = scene.labels, len(scene.classes)
    prediction, truth = scene.zero, Truth.empty((labels.shape[0], labels.shape[1]), classes)
    for number in range(config.clicks + 1 if config.clicks else 0):
        seconds = None
        if number > 0:
            draw = scene.draw(config.seed, number)  # one hand for all methods, wherever they send it
            click = next_click(prediction, labels, draw, config.jitter)
            if click is not None:
                truth = truth + disk_truth(click, labels, config.radius, classes)
                prediction, seconds = _refined(method, truth)
        yield _Step(Key("clicks", method.name, None, number, "all"), prediction, truth, seconds)


def _refined(method: Method, truth: Truth) -> tuple[LabelImage, float]:
    """A method's map with the truth in it, at the truth's size, and the seconds until it was there."""
    start = time.perf_counter()
    prediction = pasted_map(method.refine(truth), truth)
    return prediction, time.perf_counter() - start


@torch.no_grad()
def pasted_map(logits: Float[Tensor, "M h w"], truth: Truth) -> LabelImage:
    """The classes (H, W) of logits of any size, with the truth standing in them as it was given."""
    return paste(resize(logits[None], truth.size)[0], truth).cpu().numpy().astype(np.uint8)


class _Counts:
    """Of each key a confusion matrix of each image, and the seconds that refining took."""

    def __init__(self) -> None:
        self.matrices: defaultdict[Key, list[ConfusionMatrix]] = defaultdict(list)
        self.seconds: defaultdict[Key, list[float]] = defaultdict(list)

    def add(self, step: _Step, scene: _Scene) -> None:
        hidden = np.where(step.truth.revealed().numpy(), np.uint8(IGNORE), scene.labels)
        prediction = torch.from_numpy(step.prediction)
        for key, labels in ((step.key, scene.labels), (replace(step.key, pixels="unrevealed"), hidden)):
            matrix = confusion_matrix(prediction, torch.from_numpy(labels), len(scene.classes))
            self.matrices[key].append(matrix)
            if step.seconds is not None:
                self.seconds[key].append(step.seconds)

    def rows(self, truths: Sequence[str]) -> tuple[Row, ...]:
        order = (*truths, None)  # not that in which the images happen to show the classes
        keys = sorted(self.matrices, key=lambda key: order.index(key.truth))
        return tuple(self._row(key, self.matrices[key]) for key in keys)

    def _row(self, key: Key, matrices: list[ConfusionMatrix]) -> Row:
        matrix, seconds = total(matrices), self.seconds[key]
        accuracy = pixel_accuracy(matrix)
        return Row(
            key.protocol,
            key.method,
            key.truth,
            key.amount,
            key.pixels,
            defined(accuracy),
            defined(mean_iou(matrix)),
            error_removed(self._pasted(key), defined(accuracy)),
            len(matrices),
            float(np.median(seconds)) if seconds else None,
        )

    def _pasted(self, key: Key) -> float | None:
        """The accuracy of pasting the same truth, if it was measured."""
        pasted = replace(key, method=PASTED)
        if key.protocol == "clicks" or key.pixels == "unrevealed" or pasted not in self.matrices:
            return None
        return defined(pixel_accuracy(total(self.matrices[pasted])))


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two methods are called '{name}': give each a name of its own")
