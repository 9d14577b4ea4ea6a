from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dense import Scene, make_scene

from segcode.field.likelihood import softmax
from segcode.field.look import expected_changes
from segcode.field.posterior import Posterior, condition

SCENE = make_scene(0, labels=4)


def posterior_of(scene: Scene) -> Posterior:
    return condition(scene.base, scene.precision, scene.observations)


def looked_at(scene: Scene, labelled: np.ndarray) -> np.ndarray:
    posterior = posterior_of(scene)
    return expected_changes(scene.base + posterior.field, posterior, labelled)


@pytest.fixture
def changes() -> np.ndarray:
    return looked_at(SCENE, SCENE.observations.cells)


def test_a_change_is_a_share_of_the_map(changes):
    assert changes.shape == (30,)
    assert changes.min() >= 0
    assert 0 < changes.max() <= 1


def test_a_labelled_cell_promises_nothing(changes):
    assert (changes[SCENE.observations.cells] == 0).all()


def test_it_is_what_a_label_of_each_class_changes_by_its_probability(changes):
    """Brute force: each class at each cell, each other cell; the field there rises as the covariance has it."""
    posterior = posterior_of(SCENE)
    covariance = posterior.covariance(np.arange(30))
    logits = SCENE.base + posterior.field
    probability = softmax(logits)
    assert (changes > 0).sum() > 1
    for i in np.flatnonzero(changes):
        expected = 0.0
        for k in range(3):
            raised = logits.copy()
            raised[:, k] += (logits[i].max() - logits[i, k]) * np.clip(covariance[:, i] / covariance[i, i], 0, 1)
            raised[i, k] += 1e-9  # a tie counts
            flips = (raised.argmax(1) == k) & (logits.argmax(1) != k)
            if probability[i, k] > 0.01:
                expected += probability[i, k] * flips.mean()
        assert changes[i] == pytest.approx(expected, abs=1e-12)


def test_a_sure_map_promises_nothing():
    sure = replace(SCENE, base=1000 * SCENE.base)
    assert (looked_at(sure, np.zeros(0, int)) == 0).all()


def test_where_everything_is_labelled_nothing_is_promised():
    assert (looked_at(SCENE, np.arange(30)) == 0).all()
