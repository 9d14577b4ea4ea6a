"""The paper's experiment (Sect. 4): reveal one class of each image, refine, and count over the whole data set."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Bool
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.data.prefetch import prefetch
from segcode.errors import ConfigError
from segcode.evaluation.bootstrap import Interval, Paired, accuracy_gained, check_block, error_removed
from segcode.evaluation.inputs import check_classes, labels_of
from segcode.metrics import ConfusionMatrix, confusion_matrix, defined, iou, mean_iou, pixel_accuracy
from segcode.model.checkpoint import LoadedModel
from segcode.refinement.config import RefinementConfig
from segcode.refinement.refiner import Refiner, SegmentationMap
from segcode.sample import Sample, Source
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.mask import mask_truth

PixelSet = Literal["all", "unrevealed"]


@dataclass(frozen=True)
class Key:
    """What a row of the results is about.

    Attributes:
        method: zero, encoded, pasted, inferred+pasted, optimised or optimised+pasted. Inferred is a second control:
            zero code, and the class ruled out elsewhere where it seems to be told as a whole, as optimising does.
        truth: the class that was revealed; None where the method uses no truth.
        pixels: all known pixels, or those that the truth did not reveal.
    """

    method: str
    truth: str | None
    pixels: PixelSet


@dataclass(frozen=True)
class Row:
    """Scores of one method over the data set, from one confusion matrix; all in 0..1, None where undefined.

    Where all of a class is revealed, none of the pixels that are not is of it: its IoU there is 0 as soon as it is
    predicted once, and `mean_iou` falls with it. On `unrevealed` read `mean_iou_without_truth`.
    """

    method: str
    truth: str | None
    pixels: PixelSet
    pixel_accuracy: float | None
    mean_iou: float | None
    mean_iou_without_truth: float | None
    iou: dict[str, float | None]


@dataclass(frozen=True)
class Gain:
    """What optimising adds to pasting, with paired bootstrap intervals over the images.

    Attributes:
        truth: the class that was revealed.
        accuracy: gained over all pixels, the truth pasted into both.
        removed: the share of the error left after pasting that is removed.
        unrevealed: accuracy gained on the pixels that the truth did not reveal, the truth pasted into both.
        by_code: the share of the error that is left after pasting and inferring that the code alone removes.
    """

    truth: str
    accuracy: Interval
    removed: Interval
    unrevealed: Interval
    by_code: Interval


@dataclass(frozen=True)
class Example:
    """Maps of one image, to be shown."""

    sample: Sample
    zero: SegmentationMap
    encoded: LabelImage
    optimised: dict[str, LabelImage]


@dataclass(frozen=True)
class Evaluation:
    """What a run measured.

    Attributes:
        rows: every method, truth and set of pixels.
        gains: of every truth.
        examples: a few images, evenly spread over the data set.
        images: how many were measured.
        statuses: how often the solver ended how.
        seconds: median time of one refinement: Jacobian, solve and full map.
    """

    classes: ClassSet
    rows: tuple[Row, ...]
    gains: tuple[Gain, ...]
    examples: tuple[Example, ...]
    images: int
    statuses: dict[str, int]
    seconds: float | None

    def row(self, method: str, truth: str | None = None, pixels: PixelSet = "all") -> Row:
        """One row; zero and encoded on all pixels have no truth."""
        return next(r for r in self.rows if (r.method, r.truth, r.pixels) == (method, truth, pixels))

    @property
    def truths(self) -> tuple[str, ...]:
        """The classes that were revealed, one after the other."""
        return tuple(dict.fromkeys(r.truth for r in self.rows if r.truth is not None))


def evaluate(
    trained: LoadedModel,
    source: Source,
    truths: Sequence[str],
    config: RefinementConfig,
    device: str = "cpu",
    *,
    complete: bool = False,
    part: float = 1.0,
    examples: int = 4,
    block: int = 1,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Evaluation:
    """Measure every method on every image, at the size of its labels.

    Each image is refined once for each class in `truths`, given the pixels of that class and nothing else, from zero
    code: all of them, or such a `part` of them as lies on one side of a line. Where an image has no pixel of the class,
    all methods are the zero-code prediction there. If the masks are `complete`, all other pixels are known not to be of
    the class, to pasting as to optimising. The intervals draw images in runs of `block`.

    Raises:
        ConfigError: if a truth is no class of the model, a part is not above 0 and at most 1, or is said to be
            complete, or a block is longer than half the source.
        DataError: if the source has other classes than the model, or a sample without labels.
    """
    if not 0 < part <= 1:
        raise ConfigError(f"the part of a class to reveal is {part:g}: give more than 0 and at most 1")
    check_block(block, len(source))
    if complete and part < 1:
        raise ConfigError(f"{part:g} of a class is not complete: leave out `complete`, or reveal all of it")
    classes = trained.classes
    check_classes(trained, source)
    indices = {name: classes.index(name) for name in truths}
    refiner = Refiner(trained.model, config, device)
    counts = _Counts(len(classes))
    statuses: Counter[str] = Counter()
    seconds: list[float] = []
    shown: list[Example] = []
    spacing = max(1, len(source) // max(1, examples))
    samples = prefetch(source.__getitem__, range(len(source)))
    for i, sample in zip(progress(range(len(source))), samples, strict=True):
        labels = labels_of(sample)
        zero = refiner.set_image(sample.image)
        encoded = refiner.encode(labels).labels
        counts.add(Key("zero", None, "all"), zero.labels, labels)
        counts.add(Key("encoded", None, "all"), encoded, labels)
        optimised = {}
        for name, index in indices.items():
            mask = one_side(labels == index, part, crc32(sample.name.encode()))
            truth = mask_truth(mask, index, len(classes), complete)
            refiner.reset()
            start = time.perf_counter()
            refined = refiner.refine(truth)
            seconds.append(time.perf_counter() - start)
            assert refined.solution is not None
            statuses[refined.solution.status.name.lower()] += 1
            optimised[name] = refined.labels
            hidden = np.where(truth.revealed().numpy(), np.uint8(IGNORE), labels)
            maps = {
                "pasted": zero.pasted(truth),
                "inferred+pasted": refiner.infer(truth).pasted(truth),
                "optimised": refined.labels,
                "optimised+pasted": refined.pasted(truth),
            }
            for method, prediction in maps.items():
                counts.add(Key(method, name, "all"), prediction, labels)
            for method, prediction in {"zero": zero.labels, "encoded": encoded, **maps}.items():
                counts.add(Key(method, name, "unrevealed"), prediction, hidden)
        if i % spacing == 0 and len(shown) < examples:
            shown.append(Example(sample, zero, encoded, optimised))
    return Evaluation(
        classes,
        counts.rows(classes),
        tuple(counts.gain(name, block) for name in indices),
        tuple(shown),
        len(source),
        dict(statuses),
        float(np.median(seconds)) if seconds else None,
    )


def one_side(mask: Bool[ndarray, "H W"], share: float, seed: int) -> Bool[ndarray, "H W"]:
    """So much of a mask, 0..1, as lies on one side of a straight line of any direction."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    rows, columns = np.indices(mask.shape)
    along = np.cos(angle) * rows + np.sin(angle) * columns
    side = np.zeros_like(mask)
    pixels = np.flatnonzero(mask)
    side.flat[pixels[np.argsort(along.flat[pixels])[: round(share * len(pixels))]]] = True
    return side


class _Counts:
    """For each key a confusion matrix of each image."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.matrices: defaultdict[Key, list[ConfusionMatrix]] = defaultdict(list)

    def add(self, key: Key, prediction: LabelImage, labels: LabelImage) -> None:
        matrix = confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(labels), self.classes)
        self.matrices[key].append(matrix)

    def rows(self, classes: ClassSet) -> tuple[Row, ...]:
        return tuple(_row(key, torch.stack(images).sum(0), classes) for key, images in self.matrices.items())

    def gain(self, truth: str, block: int) -> Gain:
        def beside(method: str, pixels: PixelSet = "all") -> Paired:
            before, after = (self.matrices[Key(m, truth, pixels)] for m in (method, "optimised+pasted"))
            return Paired(before, after, block)

        return Gain(
            truth,
            accuracy_gained(beside("pasted")),
            error_removed(beside("pasted")),
            accuracy_gained(beside("pasted", "unrevealed")),
            error_removed(beside("inferred+pasted")),
        )


def _row(key: Key, matrix: ConfusionMatrix, classes: ClassSet) -> Row:
    scores = zip(classes.names, iou(matrix).tolist(), strict=True)
    without = None if key.truth is None else classes.index(key.truth)
    return Row(
        key.method,
        key.truth,
        key.pixels,
        defined(pixel_accuracy(matrix)),
        defined(mean_iou(matrix)),
        defined(mean_iou(matrix, without)),
        {name: defined(score) for name, score in scores},
    )
