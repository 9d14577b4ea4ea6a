"""Click curves: how good the map gets with each click, with random pixels of a class, or with an exhaustive mask."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.errors import ConfigError
from segcode.evaluation.annotator import Click, disk_truth, error_sizes, next_click
from segcode.evaluation.bootstrap import check_block
from segcode.evaluation.images import LabelledImage, Progress, labelled_images, map_of
from segcode.evaluation.methods import Method
from segcode.evaluation.results import Results, Row, Subject, Tally, ratio
from segcode.refinement.refiner import Refiner
from segcode.sample import Source
from segcode.tensors import IGNORE, Image, LabelImage
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth

EXHAUSTIVE: Final = "exhaustive"
"""The amount of an exhaustive mask."""


@dataclass(frozen=True)
class ClickConfig:
    """How much truth is given.

    Args:
        clicks: of the annotator in each image, for each method; 0 to leave them out.
        radius: of the disk that a click labels, in pixels of the labels.
        jitter: standard deviation of the clicks around their aim, likewise.
        truths: classes to label by random pixels, then by an exhaustive mask; one class at a time.
        amounts: random pixels; all of the class where an image has fewer.
        seed: of the random pixels and of the jitter.
        block: neighbouring images that are drawn together for intervals.

    Raises:
        ConfigError: if nothing would be measured, or a number is out of its range.
    """

    clicks: int = 20
    radius: float = 3.0
    jitter: float = 2.0
    truths: tuple[str, ...] = ()
    amounts: tuple[int, ...] = (1, 5, 20, 100, 500)
    seed: int = 0
    block: int = 1

    def __post_init__(self) -> None:
        if not self.truths and not self.clicks:
            raise ConfigError("no truth and no clicks: name classes to label, or give a number of clicks from 1 up")
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


class ClickEffect(NamedTuple):
    """The changes that one click makes to its image.

    Attributes:
        number: number of the click, from 1.
        class_index: class of the click.
        repaired: wrong pixels that become right.
        broken: right pixels that become wrong.
    """

    number: int
    class_index: int
    repaired: int
    broken: int


def measure_clicks(
    refiner: Refiner,
    classes: ClassSet,
    source: Source,
    methods: Sequence[Method],
    config: ClickConfig,
    progress: Progress = iter,
) -> Results:
    """Give each method more and more truth of each image, and count at the size of the labels.

    The rows have four protocols. "clicks": on errors of all classes, from the initial prediction on; the map of each
    method decides where its next click goes, as in the number of clicks until a map is good enough (NoC). "click":
    the effects of single clicks, by class. "pixels": random pixels of one class, without any other truth. "mask": an
    exhaustive mask of one class.

    Raises:
        ConfigError: if a truth is no class, two methods have one name, or a block is longer than half the source.
        DataError: if the source has other classes than the segmenter, or a sample has no labels.
    """
    _check_names([method.name for method in methods])
    check_block(config.block, len(source))
    for name in config.truths:
        classes.index(name)  # now, not after the first image
    tally = Tally(classes)
    effects: dict[str, list[ClickEffect]] = defaultdict(list)
    for image in labelled_images(refiner, source, classes, progress):
        for method in methods:
            if config.clicks:
                method.begin(refiner, image.image)
                effects[method.name] += click_through(method, image, config, tally)
            for truth in config.truths:
                _label_pixels(method, refiner, image, truth, config, tally)
    rows = [row | _cumulated(row, effects) for row in tally.rows()]
    rows += [row for name in effects for row in _effect_rows(name, effects[name], classes, config.clicks)]
    return Results(tuple(rows), len(source), dict(tally.outcomes), config.block)


def final_accuracy(refiner: Refiner, classes: ClassSet, source: Source, method: Method, config: ClickConfig) -> float:
    """Pixel accuracy of a method after the last click."""
    only_clicks = replace(config, truths=())
    results = measure_clicks(refiner, classes, source, [method], only_clicks)
    (last,) = results.find(protocol="clicks", amount=config.clicks, pixels="all")
    return float(last["pixel_accuracy"] or 0)


def nested_masks(
    labels: LabelImage, class_index: int, amounts: Sequence[int], draw: np.random.Generator
) -> dict[int, Bool[ndarray, "H W"]]:
    """Random pixels of a class, each set within the next larger one; all of the class where it has fewer pixels."""
    pixels = draw.permutation(np.flatnonzero(labels == class_index))
    masks = {amount: np.zeros(labels.shape, bool) for amount in sorted(set(amounts))}
    for amount, mask in masks.items():
        mask.flat[pixels[:amount]] = True
    return masks


def click_through(method: Method, image: LabelledImage, config: ClickConfig, tally: Tally) -> list[ClickEffect]:
    """Simulate the clicks of one image, count each map, and return what each click changed.

    Once nothing is wrong, nothing is clicked, and the map stays.
    """
    labels, classes = image.labels, len(image.classes)
    prediction, truth = image.initial.labels, Truth.empty((labels.shape[0], labels.shape[1]), classes)
    attainable = np.cumsum(np.pad(error_sizes(prediction, labels), (1, config.clicks)))
    effects = []
    for number in range(config.clicks + 1):
        seconds = None
        if number > 0:
            draw = image.draw(config.seed, number)  # one hand for all methods, wherever they send it
            click = next_click(prediction, labels, draw, config.jitter)
            if click is not None:
                truth, before = truth + disk_truth(click, labels, config.radius, classes), prediction
                prediction, seconds = _timed(method, truth, image.image)
                effects.append(_effect(number, click, before, prediction, labels))
        subject = Subject("clicks", method.name, None, number)
        tally.add(subject, image, prediction, truth, seconds, int(attainable[number]))
    return effects


def _label_pixels(
    method: Method, refiner: Refiner, image: LabelledImage, name: str, config: ClickConfig, tally: Tally
) -> None:
    """Protocols "pixels" and "mask" in one image; nothing for a class that it lacks."""
    index, classes = image.classes.index(name), len(image.classes)
    mask = image.labels == index
    if not mask.any():
        return
    masks = nested_masks(image.labels, index, config.amounts, image.draw(config.seed, index))
    truths: list[tuple[Subject, Truth]] = [
        (Subject("pixels", method.name, name, amount), mask_truth(some, index, classes))
        for amount, some in masks.items()
    ]
    truths.append((Subject("mask", method.name, name, EXHAUSTIVE), mask_truth(mask, index, classes, "exhaustive")))
    for subject, truth in truths:
        method.begin(refiner, image.image)
        prediction, seconds = _timed(method, truth, image.image)
        tally.add(subject, image, prediction, truth, seconds)


def _timed(method: Method, truth: Truth, image: Image) -> tuple[LabelImage, float]:
    """The map of a method with the truth in it, and the seconds until it was there."""
    start = time.perf_counter()
    prediction = map_of(method.refine(truth), truth, image).labels
    return prediction, time.perf_counter() - start


def _effect(number: int, click: Click, before: LabelImage, after: LabelImage, labels: LabelImage) -> ClickEffect:
    known = labels != IGNORE
    was, now = before == labels, after == labels
    return ClickEffect(number, click.class_index, int((known & now & ~was).sum()), int((known & was & ~now).sum()))


def _cumulated(row: Row, effects: dict[str, list[ClickEffect]]) -> Row:
    """Scores of all clicks up to that of a row."""
    amount = row["amount"]
    if row["protocol"] != "clicks" or row["pixels"] != "all" or not isinstance(amount, int):
        return {}
    return _scores([effect for effect in effects[str(row["method"])] if effect.number <= amount])


def _effect_rows(method: str, effects: Sequence[ClickEffect], classes: ClassSet, clicks: int) -> list[Row]:
    """A row for all clicks of a method, and one for each class that was clicked."""
    rows: list[Row] = []
    for truth in (None, *classes.names):
        chosen = [e for e in effects if truth is None or e.class_index == classes.index(truth)]
        if chosen:
            subject: Row = {"protocol": "click", "method": method, "truth": truth, "amount": clicks, "pixels": "all"}
            rows.append(subject | {"clicks": len(chosen)} | _scores(chosen))
    return rows


def _scores(effects: Sequence[ClickEffect]) -> Row:
    """The share of clicks that lower the accuracy of their image, and right pixels broken for each one repaired."""
    return {
        "harmful_clicks": ratio(sum(effect.broken > effect.repaired for effect in effects), len(effects)),
        "broken_per_repaired": ratio(sum(e.broken for e in effects), sum(e.repaired for e in effects)),
    }


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two methods are called '{name}': give each a name of its own")
