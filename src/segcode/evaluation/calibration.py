"""Are the probabilities right, does doubt find the errors, do samples cover them? Before and after refinement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from jaxtyping import Bool, Float
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.data.prefetch import prefetch
from segcode.evaluation.diversity import Diversity, SampleScores, diversity
from segcode.evaluation.error_detection import Detection, Histogram, detection, score_histogram
from segcode.evaluation.inputs import check_classes, labels_of
from segcode.evaluation.protocol import PixelSet
from segcode.evaluation.reliability import Reliability, Scores, reliability
from segcode.model.checkpoint import LoadedModel
from segcode.refinement.config import RefinementConfig
from segcode.refinement.refiner import Refiner, SegmentationMap
from segcode.sample import Source
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.mask import mask_truth

DOUBTS: Final = ("learnt b", "entropy", "predictive entropy", "mutual information")
"""The scores that are to find errors, as the tables call them."""

State = Literal["before", "after"]


class Key(NamedTuple):
    """What a row is about; None for all pixels, or else those that the truth of a class does not reveal."""

    state: State
    truth: str | None


@dataclass(frozen=True)
class Row:
    """What was measured in one state on one set of pixels.

    Attributes:
        state: "before" is zero code, "after" the code that explains the truth.
        truth: the class that is revealed; "before" it is not used, but the same pixels are judged.
        pixels: all known pixels, or those that the truth does not reveal.
        count: how many pixels were judged.
        map: of the softmax at the code found; its labels are the map's.
        predictive: of the probabilities averaged over codes; its accuracy is that of the mean map.
        detection: for each of `DOUBTS`, how well it finds the wrong pixels of the map.
        samples: what sampled maps differ in.
    """

    state: State
    truth: str | None
    pixels: PixelSet
    count: int
    map: Scores
    predictive: Scores
    detection: dict[str, Detection]
    samples: SampleScores


@dataclass(frozen=True)
class Calibration:
    """What a run measured.

    Attributes:
        rows: before on all pixels; then for each truth before and after on the pixels that it does not reveal.
        images: how many were measured.
        statuses: how often the solver ended how; "no_truth" where an image lacks the class.
    """

    classes: ClassSet
    rows: tuple[Row, ...]
    images: int
    statuses: dict[str, int]

    def row(self, state: State, truth: str | None = None) -> Row:
        """One row; on all pixels there is only "before"."""
        return next(r for r in self.rows if (r.state, r.truth) == (state, truth))

    @property
    def truths(self) -> tuple[str, ...]:
        """The classes that were revealed, one after the other."""
        return tuple(dict.fromkeys(r.truth for r in self.rows if r.truth is not None))


def measure_calibration(
    trained: LoadedModel,
    source: Source,
    truths: Sequence[str],
    config: RefinementConfig,
    device: str = "cpu",
    samples: int = 8,
    codes: int = 16,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Calibration:
    """Measure every image before and after each class in `truths` is revealed, at the size of its labels.

    Only sums and histograms are kept, so that memory does not grow with the data set. Each image has its own seed, the
    same in all its states: what differs between them is not the draw.

    Args:
        trained: a model and its classes.
        source: labelled images of the same classes.
        truths: each in turn is given with all its pixels and nothing else, from zero code; an image without the class
            stays as it was.
        config: how the code is found.
        device: "cpu", "cuda".
        samples: sampled maps of an image, at least 2.
        codes: those that the predictive probabilities are averaged over.
        progress: wraps the indices of the images.

    Raises:
        ConfigError: if a truth is no class of the model.
        DataError: if the source has other classes than the model, or a sample without labels.
    """
    classes = trained.classes
    check_classes(trained, source)
    indices = {name: classes.index(name) for name in truths}
    refiner = Refiner(trained.model, config, device)
    sums: dict[Key, _Sums] = {}
    statuses: Counter[str] = Counter()

    def judge(key: Key, outlook: _Outlook, labels: LabelImage, mask: Bool[ndarray, "H W"]) -> None:
        found = _judged(outlook, labels, mask, len(classes))
        sums[key] = sums[key] + found if key in sums else found

    loaded = prefetch(source.__getitem__, range(len(source)))
    for i, sample in zip(progress(range(len(source))), loaded, strict=True):
        labels = labels_of(sample)
        known = labels != IGNORE
        before = _outlook(refiner, refiner.set_image(sample.image), samples, codes, seed=i)
        judge(Key("before", None), before, labels, known)
        for name, index in indices.items():
            truth = mask_truth(labels == index, index, len(classes))
            refiner.reset()
            refined = refiner.refine(truth)
            assert refined.solution is not None
            statuses[refined.solution.status.name.lower()] += 1
            after = _outlook(refiner, refined, samples, codes, seed=i)
            unrevealed = known & ~truth.revealed().numpy()
            judge(Key("before", name), before, labels, unrevealed)
            judge(Key("after", name), after, labels, unrevealed)
    rows = tuple(found.row(key, classes) for key, found in sums.items())
    return Calibration(classes, rows, len(source), dict(statuses))


class _Outlook(NamedTuple):
    """All that one state says of an image, at the image's size."""

    labels: LabelImage
    probabilities: Float[ndarray, "M H W"]
    predictive: Float[ndarray, "M H W"]
    doubts: dict[str, Float[ndarray, "H W"]]
    samples: list[LabelImage]


@dataclass(frozen=True)
class _Sums:
    map: Reliability
    predictive: Reliability
    doubts: dict[str, Histogram]
    samples: Diversity

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            self.map + other.map,
            self.predictive + other.predictive,
            {name: histogram + other.doubts[name] for name, histogram in self.doubts.items()},
            self.samples + other.samples,
        )

    def row(self, key: Key, classes: ClassSet) -> Row:
        return Row(
            key.state,
            key.truth,
            "all" if key.truth is None else "unrevealed",
            int(self.map.pixels.sum()),
            self.map.scores(),
            self.predictive.scores(),
            {name: detection(histogram) for name, histogram in self.doubts.items()},
            self.samples.scores(classes),
        )


def _outlook(refiner: Refiner, found: SegmentationMap, samples: int, codes: int, seed: int) -> _Outlook:
    predictive = refiner.predictive(codes, seed)
    doubts = (
        found.uncertainty,
        found.entropy(),
        predictive.entropy(),
        predictive.spread,
    )
    return _Outlook(
        found.labels,
        found.scores().softmax(0).cpu().numpy(),
        predictive.probabilities,
        dict(zip(DOUBTS, doubts, strict=True)),
        [sample.labels for sample in refiner.sample(samples, seed)],
    )


def _judged(outlook: _Outlook, labels: LabelImage, mask: Bool[ndarray, "H W"], classes: int) -> _Sums:
    truth, prediction = labels[mask], outlook.labels[mask]
    return _Sums(
        reliability(outlook.probabilities[:, mask], truth),
        reliability(outlook.predictive[:, mask], truth),
        {name: score_histogram(doubt[mask], prediction != truth) for name, doubt in outlook.doubts.items()},
        diversity([sample[mask] for sample in outlook.samples], prediction, truth, classes),
    )
