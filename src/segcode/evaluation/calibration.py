"""Whether probabilities can be believed, and whether uncertainty finds the errors: before and after labels.

    ECE    sum over 15 bins of the top probability of (pixels / all) |accuracy - confidence|   (Guo et al. 2017)
    NLL    mean of -log p_y
    Brier  mean of sum_c (p_c - [c = y])^2                                                      (Brier 1950)

Error detection: a wrong pixel of the map should have a higher score than a right one. AUROC is the chance of that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_calibration_error

from segcode.classes import ClassSet
from segcode.evaluation.annotator import clicked
from segcode.evaluation.clicks import EXHAUSTIVE, ClickConfig
from segcode.evaluation.images import LabelledImage, Progress, labelled_images
from segcode.evaluation.results import Results, Row, Subject
from segcode.interpolation import resize
from segcode.refinement.refiner import Refiner
from segcode.refinement.result import SegmentationMap, entropy
from segcode.sample import Source
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth

BINS: Final = 15

JUDGED: Final = 2**16
"""Random pixels of an image that are judged at most: all of them are kept until the end."""


class Curve(NamedTuple):
    """A reliability diagram: mean confidence, accuracy and share of the pixels in each bin that is not empty."""

    confidence: Float[ndarray, "bins"]
    accuracy: Float[ndarray, "bins"]
    share: Float[ndarray, "bins"]


@dataclass(frozen=True)
class CalibrationResults(Results):
    """A measurement of calibration, with the reliability diagram of each subject."""

    curves: Mapping[Subject, Curve] = field(default_factory=dict)


class _Judged(NamedTuple):
    """Some pixels of one image.

    Attributes:
        wrong: whether the map is wrong.
        score: uncertainty that should find that.
        confidence: top probability; NaN for a score that is no probability, as the next three.
        right: whether the most likely class is right.
        nll: nats.
        brier: summed over the classes.
    """

    wrong: Bool[ndarray, "n"]
    score: Float[ndarray, "n"]
    confidence: Float[ndarray, "n"]
    right: Float[ndarray, "n"]
    nll: Float[ndarray, "n"]
    brier: Float[ndarray, "n"]


class _Outlook(NamedTuple):
    """The map of an image in one state of the refiner, and how sure it is."""

    labels: LabelImage
    probabilities: dict[str, Float[ndarray, "M H W"]]
    scores: dict[str, Float[ndarray, "H W"]]


def measure_calibration(
    refiner: Refiner, classes: ClassSet, source: Source, config: ClickConfig, draws: int = 16, progress: Progress = iter
) -> CalibrationResults:
    """Measure each image before labels, after all clicks, and after an exhaustive mask of each of the truths.

    The rows have the protocols "before" and "after". Labelled pixels count in neither: "unlabelled" rows have the
    pixels that a truth leaves. Methods are the probabilities at the mode, and those averaged over draws, with their
    entropy as the score for errors; and more scores, the mutual information of the draws, and where the segmenter has
    b, b and its ratio to the logits that it attenuates. Each image has its own seed, the same in all states.

    An image that lacks the class of a truth is left out there.

    Raises:
        ConfigError: if a truth is no class.
        DataError: if the source has other classes than the segmenter, or a sample has no labels.
    """
    for name in config.truths:
        classes.index(name)  # now, not after the first image
    found: defaultdict[Subject, list[_Judged]] = defaultdict(list)
    for seed, image in enumerate(labelled_images(refiner, source, classes, progress)):
        known = image.labels != IGNORE
        before = _outlook(refiner, image.initial, draws, seed)
        for method, judged in _judge(before, image.labels, known, seed):
            found[Subject("before", method, None, 0)].append(judged)
        for truth_class, amount, truth in _truths(refiner, image, config):
            refiner.reset()
            after = _outlook(refiner, refiner.refine(truth), draws, seed)
            for protocol, outlook in (("before", before), ("after", after)):
                for method, judged in _judge(outlook, image.labels, known & ~truth.known_mask, seed):
                    found[Subject(protocol, method, truth_class, amount, "unlabelled")].append(judged)
    columns = {s: _Judged(*map(np.concatenate, zip(*images, strict=True))) for s, images in found.items()}
    rows = tuple(_row(subject, judged, len(found[subject])) for subject, judged in columns.items())
    curves = {
        s: reliability(judged.confidence, judged.right) for s, judged in columns.items() if _is_probability(judged)
    }
    return CalibrationResults(rows, len(source), {}, curves=curves)


def _truths(
    refiner: Refiner, image: LabelledImage, config: ClickConfig
) -> Iterator[tuple[str | None, int | str, Truth]]:
    """The class, the amount and the truth: of all clicks together, then of masks."""
    if config.clicks:
        yield None, config.clicks, clicked(refiner, image, config.clicks, config.radius, config.jitter, config.seed)
    for name in config.truths:
        index = image.classes.index(name)
        if (image.labels == index).any():
            yield name, EXHAUSTIVE, mask_truth(image.labels == index, index, len(image.classes), "exhaustive")


def _outlook(refiner: Refiner, found: SegmentationMap, draws: int, seed: int) -> _Outlook:
    predictive = refiner.predictive(draws, seed)
    scores = {"mutual information": predictive.mutual_information}
    relative = found.relative_noise()
    if found.b is not None and relative is not None:
        scores["learnt b"] = resize(found.b[None], found.truth.size)[0]
        scores["b beside the logits"] = relative
    return _Outlook(found.labels, {"mode": found.probabilities(), "draws": predictive.probabilities}, scores)


def _judge(
    outlook: _Outlook, labels: LabelImage, counted: Bool[ndarray, "H W"], seed: int
) -> Iterator[tuple[str, _Judged]]:
    """Each method at `JUDGED` random pixels of those that count."""
    pixels = np.flatnonzero(counted)
    if len(pixels) > JUDGED:
        pixels = np.sort(np.random.default_rng(seed).choice(pixels, JUDGED, replace=False))
    true = labels.ravel()[pixels]
    wrong = outlook.labels.ravel()[pixels] != true
    for method, probabilities in outlook.probabilities.items():
        p = probabilities.reshape(len(probabilities), -1)[:, pixels]
        of_true = p[true, np.arange(len(true))]
        yield (
            method,
            _Judged(
                wrong,
                entropy(p[:, None])[0],
                p.max(0, initial=0),
                (p.argmax(0) == true).astype(np.float32),
                -np.log(np.maximum(of_true, np.finfo(np.float32).tiny)),
                (p**2).sum(0) - 2 * of_true + 1,
            ),
        )
    none = np.full(len(pixels), np.nan)
    for method, score in outlook.scores.items():
        yield method, _Judged(wrong, score.ravel()[pixels], none, none, none, none)


def _row(subject: Subject, judged: _Judged, images: int) -> Row:
    score, wrong = torch.from_numpy(judged.score).float(), torch.from_numpy(judged.wrong).long()
    confidence, right = torch.from_numpy(judged.confidence).float(), torch.from_numpy(judged.right).bool().long()
    both = 0 < int(wrong.sum()) < len(wrong)
    ranks = score / (1 + score)  # in 0..1, or torchmetrics takes its sigmoid, which rounds
    means = (float(column.mean()) if _is_probability(judged) else None for column in judged[3:])
    return asdict(subject) | {
        "images": images,
        "error": float(judged.wrong.mean()) if len(wrong) else None,
        **dict(zip(("accuracy", "nll", "brier"), means, strict=True)),
        "ece": float(binary_calibration_error(confidence, right, BINS)) if _is_probability(judged) else None,
        "auroc": float(binary_auroc(ranks, wrong)) if both else None,
        "average_precision": float(binary_average_precision(ranks, wrong)) if both else None,
    }


def _is_probability(judged: _Judged) -> bool:
    return len(judged.confidence) > 0 and not bool(np.isnan(judged.confidence[0]))


def reliability(confidence: Float[ndarray, "n"], right: Float[ndarray, "n"]) -> Curve:
    """Accuracy by confidence, in `BINS` bins of equal width."""
    cell = np.minimum((confidence * BINS).astype(int), BINS - 1)
    pixels, confident, hits = (np.bincount(cell, weights, BINS) for weights in (None, confidence, right))
    filled = pixels > 0
    return Curve(confident[filled] / pixels[filled], hits[filled] / pixels[filled], pixels[filled] / len(cell))
