from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dense import make_scene, with_contradiction

from segcode.field.closed_form import closed_form, margin
from segcode.field.likelihood import Observations
from segcode.field.newton import Prior, find_mode


@pytest.mark.parametrize(("variance", "weight"), [(0.01, 1.0), (10.0, 5.0), (1e5, 50.0), (2.0, 1e-3)])
def test_the_margin_balances_likelihood_and_prior(variance, weight):
    with np.errstate(over="raise"):
        gap = margin(variance, weight)
    assert weight / (1 + np.exp(gap)) == pytest.approx(gap / (2 * variance), rel=1e-6)


def test_the_margin_is_what_newtons_method_leaves_between_two_equal_classes():
    seen = Observations(np.array([0]), np.array([0]), np.array([[True, False]]), np.array([5.0]))
    mode = find_mode(np.zeros((1, 2)), seen, Prior(np.array([[10.0]])), share=1e-9)
    assert mode.logits[0, 0] - mode.logits[0, 1] == pytest.approx(margin(10.0, 5.0), rel=1e-4)


def test_the_system_is_that_of_its_formula():
    scene = make_scene(0)
    seen = scene.observations
    covariance = scene.precision.covariance(seen.cells)[seen.cells]
    base = scene.base[seen.cells]
    gap = margin(covariance.diagonal().mean(), seen.weight.mean())
    raised = np.zeros_like(base)
    for cell, k in enumerate(seen.allowed.argmax(1)):
        raised[cell, k] = max(0.0, np.delete(base[cell], k).max() - base[cell, k] + gap)
    expected = np.linalg.inv(covariance + np.diag(1 / seen.weight)) @ raised
    assert closed_form(base, seen, covariance) == pytest.approx(expected)


def test_a_cell_that_is_not_of_a_class_gets_its_strongest_other():
    seen = Observations(np.array([0]), np.array([0]), np.array([[False, True, True]]), np.array([2.0]))
    added = closed_form(np.array([[5.0, 1.0, 2.0]]), seen, np.array([[4.0]]))
    assert added[0, 2] > 0
    assert added[0, :2].tolist() == [0, 0]


def test_a_label_that_s0_has_by_more_than_the_margin_changes_nothing():
    seen = Observations(np.array([0]), np.array([0]), np.array([[False, True, False]]), np.array([2.0]))
    assert (closed_form(np.array([[0.0, 60.0, 0.0]]), seen, np.array([[4.0]])) == 0).all()


def test_contradicting_labels_of_a_cell_are_no_error():
    scene = with_contradiction(make_scene(0))
    cells = scene.observations.cells
    covariance = scene.precision.covariance(cells)[cells]
    assert np.isfinite(closed_form(scene.base[cells], scene.observations, covariance)).all()


@pytest.mark.parametrize("seed", range(5))
def test_one_click_gives_nearly_the_labels_of_newtons_method(seed):
    scene = make_scene(seed, labels=1, classes=3)
    scene = replace(scene, base=scene.base / 2)
    scene.observations.weight[:] = 5.0
    cells = scene.observations.cells
    columns = scene.precision.covariance(cells)
    mode = find_mode(scene.base[cells], scene.observations, Prior(columns[cells]), share=1e-9)
    labels = (scene.base + columns @ mode.dual).argmax(1)
    quick = (scene.base + columns @ closed_form(scene.base[cells], scene.observations, columns[cells])).argmax(1)
    assert quick[cells[0]] == labels[cells[0]] == scene.observations.allowed[0].argmax()
    assert (quick == labels).mean() >= 0.8
