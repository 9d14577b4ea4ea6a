"""The paper's experiment (Sect. 4): label one class of each image, refine, and count over all images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from segcode.classes import ClassSet
from segcode.evaluation.bootstrap import check_block
from segcode.evaluation.images import LabelledImage, Progress, labelled_images, map_of
from segcode.evaluation.results import Results, Subject, Tally
from segcode.interpolation import resize
from segcode.model.label_encoder import known_labels
from segcode.model.linearisation import Linearisation
from segcode.model.segcode import SegCode
from segcode.prediction import InitialPrediction
from segcode.refinement.code_path import optimise_code
from segcode.refinement.config import CodeConfig
from segcode.refinement.refiner import Refiner
from segcode.resampling import nearest
from segcode.sample import Source
from segcode.tensors import LabelImage
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Extent, Truth

INITIAL, ENCODED = "initial prediction", "encoder's code"
REPLACED, EXCLUDED = "replaced", "replaced + excluded"
OPTIMISED, OPTIMISED_REPLACED = "optimised", "optimised + replaced"
CODE, CODE_REPLACED = "code alone", "code alone + replaced"


@dataclass(frozen=True)
class Example:
    """Maps of one image, to be shown.

    Attributes:
        encoded: None for a segmenter without a code.
        optimised: by the class that was labelled.
    """

    image: LabelledImage
    encoded: LabelImage | None
    optimised: dict[str, LabelImage]


@dataclass(frozen=True)
class MaskResults(Results):
    """The paper's experiment; with a few images, evenly spread over the source."""

    examples: tuple[Example, ...] = ()


def measure_masks(
    refiner: Refiner,
    classes: ClassSet,
    source: Source,
    model: SegCode | None,
    truths: Sequence[str],
    code: CodeConfig,
    *,
    extent: Extent = "exhaustive",
    examples: int = 4,
    block: int = 1,
    progress: Progress = iter,
) -> MaskResults:
    """Measure every method on every image, at the size of its labels.

    Each image is refined once for each class in `truths`, given the pixels of that class and nothing else. Where an
    image has no pixel of the class, an exhaustive mask still says so; any other mask changes nothing there.

    Two controls use no optimisation: "replaced" writes the labelled pixels into the initial prediction (the paper's),
    "replaced + excluded" also excludes an exhaustive class elsewhere. "Code alone" optimises the paper's code without
    the field. "Encoder's code" is the map of the code that the label encoder gives the labels of all pixels.

    Without a model, for another segmenter, there are no rows of the code. Neighbouring images, `block` at a time, are
    drawn together for intervals.

    Raises:
        ConfigError: if a truth is no class, or a block is longer than half the source.
        DataError: if the source has other classes than the segmenter, or a sample has no labels.
    """
    check_block(block, len(source))
    indices = {name: classes.index(name) for name in truths}
    tally = Tally(classes)
    shown: list[Example] = []
    spacing = max(1, len(source) // max(1, examples))
    for number, image in enumerate(labelled_images(refiner, source, classes, progress)):
        tally.add(Subject("mask", INITIAL, None, "none"), image, image.initial.labels)
        encoded = None if model is None else _encoded(model, refiner.prediction, image)
        if encoded is not None:
            tally.add(Subject("mask", ENCODED, None, "all pixels"), image, encoded)
        optimised = {}
        for name, index in indices.items():
            truth = mask_truth(image.labels == index, index, len(classes), extent)
            maps, seconds = _maps(refiner, image, truth, code if model is not None else None)
            for method, labels in maps.items():
                taken = seconds if method in (OPTIMISED, OPTIMISED_REPLACED) else None
                tally.add(Subject("mask", method, name, extent), image, labels, truth, taken)
            optimised[name] = maps[OPTIMISED]
        if number % spacing == 0 and len(shown) < examples:
            shown.append(Example(image, encoded, optimised))
    return MaskResults(tuple(tally.rows()), len(source), dict(tally.outcomes), block, tuple(shown))


def _maps(
    refiner: Refiner, image: LabelledImage, truth: Truth, code: CodeConfig | None
) -> tuple[dict[str, LabelImage], float]:
    """The map of each method, and the seconds of a refinement."""
    refiner.reset()
    start = time.perf_counter()
    refined = refiner.refine(truth)
    labels = refined.labels
    seconds = time.perf_counter() - start
    only_replaced = replace(truth, exhaustive=np.zeros_like(truth.exhaustive))
    maps = {
        REPLACED: map_of(image.initial.logits, only_replaced, image.image).labels,
        EXCLUDED: map_of(image.initial.logits, truth, image.image).labels,
        OPTIMISED: refined.unpasted(),
        OPTIMISED_REPLACED: labels,
    }
    if code is not None:
        alone = map_of(optimise_code(untempered(refiner), truth, code).logits, truth, image.image)
        maps |= {CODE: alone.unpasted(), CODE_REPLACED: alone.labels}
    return maps, seconds


def untempered(refiner: Refiner) -> InitialPrediction:
    """The initial prediction as the segmenter gave it: S0 that belongs to J."""
    prediction = refiner.prediction
    return replace(prediction, base_logits=prediction.base_logits * refiner.constants.temperature)


@torch.no_grad()
def _encoded(model: SegCode, prediction: InitialPrediction, image: LabelledImage) -> LabelImage | None:
    """The map of the code that the label encoder gives all labels of an image."""
    if not isinstance(prediction.code, Linearisation):
        return None
    linearised = prediction.code
    small = nearest(torch.from_numpy(image.labels)[None], linearised.base_logits.shape[1:])
    known = known_labels(small.to(linearised.base_logits.device), len(image.classes))
    added = linearised.added(model.encode_truth(linearised, known).cpu().numpy()[None])[0]
    base_logits = linearised.base_logits.cpu().numpy()
    logits = base_logits + resize(added, base_logits.shape[1:])
    nothing = Truth.empty((image.labels.shape[0], image.labels.shape[1]), len(image.classes))
    return map_of(logits, nothing, image.image).labels
