from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from noise import CLASSES, Noise

from segcode.errors import ConfigError
from segcode.evaluation import fitting
from segcode.evaluation.clicks import ClickConfig, ClickEffect
from segcode.evaluation.fitting import Fold, click_cost, fit_constants
from segcode.field.constants import load_constants
from segcode.prediction import CallableSegmenter
from segcode.sample import Sample

CONFIG = ClickConfig(clicks=2)


class Halves(Noise):
    """Images of two flat halves with a class each."""

    def __getitem__(self, index: int) -> Sample:
        image = np.zeros((32, 48, 3), np.uint8)
        image[:, 24:] = 255
        return Sample(self.names[index], image, (image[..., 0] > 0).astype(np.uint8))


def always_first(image):
    logits = np.zeros((len(CLASSES), *image.shape[:2]), np.float32)
    logits[0] = 4.0
    return logits


def knows(image):
    logits = np.zeros((len(CLASSES), *image.shape[:2]), np.float32)
    logits[0], logits[1] = image[..., 0] == 0, image[..., 0] > 0
    return 9 * logits


def fold(function):
    return Fold("halves", CallableSegmenter(function), Halves())


def test_a_perfect_segmenter_costs_nothing():
    assert click_cost([fold(knows)], CLASSES, load_constants(), CONFIG, 0.0) == (0.0, 0.0, (1.0, 1.0, 1.0))


def test_constants_with_which_a_label_reaches_nowhere_cost_more():
    constants = load_constants()
    short = replace(constants, pull=1e6)
    reach, none = (click_cost([fold(always_first)], CLASSES, c, CONFIG, 1.0) for c in (constants, short))
    assert reach.wrong < none.wrong <= 1.0


def test_clicks_that_break_more_than_they_repair_count_beyond_what_is_tolerated(monkeypatch):
    effects = [ClickEffect(1, 0, repaired=9, broken=1), ClickEffect(2, 0, repaired=1, broken=9)]
    monkeypatch.setattr(fitting, "click_through", lambda *arguments: effects)
    for tolerated, excess in ((0.0, 0.5), (0.4, 0.1), (0.6, 0.0)):
        assert click_cost([fold(always_first)], CLASSES, load_constants(), CONFIG, tolerated).excess == pytest.approx(
            excess
        )


def test_the_search_never_ends_above_its_start_and_keeps_zeros():
    start = replace(load_constants(), pull=2e-2, code_variance=0.0)
    trials = []
    fitted = fit_constants([fold(always_first)], CLASSES, start, CONFIG, report=trials.append)
    costs = [trial.cost for trial in trials]
    assert fitted == trials[costs.index(min(costs))].constants
    assert min(costs) < costs[0]
    assert fitted.code_variance == start.code_variance == 0


def test_a_fit_without_images_is_refused():
    with pytest.raises(ConfigError, match="at least one fold"):
        fit_constants([], CLASSES, load_constants(), CONFIG)
