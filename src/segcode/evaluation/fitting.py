"""Fit the constants of the Gaussian model to labelled images that the segmenter was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from segcode.classes import ClassSet
from segcode.errors import ConfigError
from segcode.evaluation.clicks import ClickConfig, click_through
from segcode.evaluation.images import labelled_images
from segcode.evaluation.methods import Refined
from segcode.evaluation.results import Tally
from segcode.field.constants import FieldConstants
from segcode.prediction import Segmenter
from segcode.refinement.refiner import Refiner
from segcode.sample import Source
from segcode.tensors import IGNORE

FACTORS: Final = (2.0, 1.4)
"""Steps of the search, one sweep for each: every constant is multiplied and divided by it."""

NAMES: Final = (
    "pull",
    "edge_scales",
    "pull_relief",
    "image_relief",
    "label_weight",
    "prior_variance",
    "floor",
    "temperature",
    "code_variance",
)
"""The constants in the order of the search; the scales of all levels are changed together.

`code_weight` is not among them, since it counts beyond 128 labelled cells and ten clicks label at most 90; nor is
`draw_scale`, which changes samples alone."""


@dataclass(frozen=True)
class Fold:
    """Labelled images, and a segmenter that was trained without them.

    Attributes:
        name: the name of the fold, such as that of its sequence.
        segmenter: makes the initial predictions.
        source: the images.
    """

    name: str
    segmenter: Segmenter
    source: Source


class Cost(NamedTuple):
    """The click cost of constants; lower is a lower excess or, with the same, fewer wrong pixels.

    Attributes:
        excess: the share of clicks that lowered the accuracy of their image, less the share tolerated; at least 0.
        wrong: the mean share of wrong pixels along the click curve, of those wrong at first.
        accuracy: the share of right pixels without a click, after one, and so on.
    """

    excess: float
    wrong: float
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Trial:
    """One evaluation of the search.

    Attributes:
        constants: the constants that were tried.
        cost: their cost.
        best: whether no earlier trial cost less.
    """

    constants: FieldConstants
    cost: Cost
    best: bool


def click_cost(
    folds: Sequence[Fold], classes: ClassSet, constants: FieldConstants, config: ClickConfig, harmful: float
) -> Cost:
    """The click cost of constants for a simulated annotator, averaged over folds.

    Args:
        folds: images that the segmenters have not seen.
        classes: the classes of all folds.
        constants: the constants of the Gaussian model.
        config: settings of the simulated annotator.
        harmful: the share of clicks, 0..1, that may lower the accuracy of their image. The longer the reach, the more
            a click repairs, and the more often it breaks correct pixels.
    """
    wrong_shares, harmful_shares, accuracies = [], [], []
    method = Refined()
    for fold in folds:
        spent = at_first = known = 0.0
        harms: list[bool] = []
        right = np.zeros(config.clicks + 1)
        refiner = Refiner(fold.segmenter, constants)
        for image in labelled_images(refiner, fold.source, classes):
            method.begin(refiner, image.image)
            pixels = int((image.labels != IGNORE).sum())
            wrong = int(((image.initial.labels != image.labels) & (image.labels != IGNORE)).sum())
            effects = click_through(method, image, config, Tally(classes))
            left = wrong - np.cumsum([effect.repaired - effect.broken for effect in effects])
            left = np.concatenate([left, np.zeros(config.clicks - len(left))])  # nothing is wrong any more
            harms += [effect.broken > effect.repaired for effect in effects]
            spent += float(left.mean())
            at_first += wrong
            known += pixels
            right += pixels - np.concatenate([[wrong], left])
        wrong_shares.append(spent / max(at_first, 1.0))
        harmful_shares.append(sum(harms) / max(len(harms), 1))
        accuracies.append(right / max(known, 1.0))
    accuracy = tuple(np.mean(accuracies, axis=0).tolist())
    return Cost(max(0.0, float(np.mean(harmful_shares)) - harmful), float(np.mean(wrong_shares)), accuracy)


def fit_constants(
    folds: Sequence[Fold],
    classes: ClassSet,
    start: FieldConstants,
    config: ClickConfig,
    harmful: float = 0.15,
    report: Callable[[Trial], None] = lambda trial: None,
) -> FieldConstants:
    """Constants of low click cost, by coordinate search on a logarithmic scale.

    Args:
        folds: images that the segmenters have not seen.
        classes: the classes of all folds.
        start: constants to begin with; one that is 0 stays 0.
        config: settings of the simulated annotator.
        harmful: as in `click_cost`.
        report: called after each trial.

    Raises:
        ConfigError: if there is no fold.
    """
    if not folds:
        raise ConfigError("there are no images to fit to: give at least one fold")

    def cost_of(constants: FieldConstants) -> Cost:
        return click_cost(folds, classes, constants, config, harmful)

    best, cost = start, cost_of(start)
    report(Trial(best, cost, True))

    def descend(name: str, factor: float) -> bool:
        """Take steps in one direction while the cost falls; return whether it fell."""
        nonlocal best, cost
        fell = False
        while (tried := _scaled(best, name, factor)) != best:
            now = cost_of(tried)
            better = now[:2] < cost[:2]
            report(Trial(tried, now, better))
            if not better:
                break
            best, cost, fell = tried, now, True
        return fell

    for factor in FACTORS:
        for name in NAMES:
            if not descend(name, factor):
                descend(name, 1 / factor)
    return best


def evenly(names: Sequence[str], most: int) -> list[str]:
    """At most `most` names, at even distances."""
    step = max(1, -(-len(names) // most))
    return list(names[step // 2 :: step])


def _scaled(constants: FieldConstants, name: str, factor: float) -> FieldConstants:
    value = getattr(constants, name)
    if isinstance(value, tuple):
        return replace(constants, edge_scales=tuple(factor * scale for scale in value))
    return replace(constants, **{name: factor * value})
