from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dense import Scene, make_scene, with_contradiction
from scipy.special import logsumexp

from segcode.field.grid import Grid
from segcode.field.newton import Curvature, Mode, Prior, find_mode

SCENES = {
    "field": make_scene(0),
    "field and code": make_scene(1, code_size=4),
    "contradiction": with_contradiction(make_scene(2)),
    "contradiction and code": with_contradiction(make_scene(3, code_size=4)),
    "every cell": make_scene(4, labels=30),
    "one label": make_scene(5, labels=1, code_size=2),
}


def prior_of(scene: Scene) -> Prior:
    cells = scene.observations.cells
    field = scene.precision.covariance(cells)[cells]
    return Prior(field, None if scene.jacobian is None else scene.jacobian[cells])


def solve(scene: Scene) -> Mode:
    return find_mode(scene.base[scene.observations.cells], scene.observations, prior_of(scene), share=1e-9)


def unknowns(scene: Scene, mode: Mode) -> np.ndarray:
    """Fields at all cells, and the code, from the dual."""
    field = scene.precision.covariance(scene.observations.cells) @ mode.dual
    code = np.zeros(0) if scene.jacobian is None else prior_of(scene).code_of(mode.dual)
    return np.concatenate([field.ravel(), code])


SETS = {
    "sets": make_scene(6, sets=True, classes=4),
    "sets and code": make_scene(7, sets=True, classes=4, code_size=4),
    "sets and classes at a cell": with_contradiction(make_scene(8, sets=True, classes=4)),
}


@pytest.fixture(params=SCENES)
def scene(request) -> Scene:
    return SCENES[request.param]


def test_the_mode_is_that_of_the_dense_model(scene):
    mode = solve(scene)
    assert mode.converged
    assert unknowns(scene, mode) == pytest.approx(scene.mode(), abs=1e-5)
    cells = scene.observations.cells
    assert mode.logits == pytest.approx(scene.logits(scene.mode())[cells], abs=1e-5)


def test_newtons_method_needs_few_steps(scene):
    assert solve(scene).steps <= 8


@pytest.mark.parametrize("seed", range(6))
def test_what_is_not_of_the_predicted_class_needs_few_steps(seed):
    scene = make_scene(seed, labels=12, grid=Grid(8, 9), classes=5)
    seen = scene.observations
    scene.base[seen.cells, 2] += 6.0
    allowed = np.arange(5) != np.full((len(seen.cells), 1), 2)
    mode = find_mode(scene.base[seen.cells], replace(seen, allowed=allowed), prior_of(scene))
    assert mode.converged
    assert mode.steps <= 20


@pytest.mark.parametrize("code_size", [0, 4])
@pytest.mark.parametrize("seed", range(3))
def test_sets_of_allowed_classes_end_where_no_step_lowers_the_energy(seed, code_size):
    scene = make_scene(seed, sets=True, code_size=code_size, classes=4)
    mode = solve(scene)
    x = unknowns(scene, mode)
    assert mode.converged
    assert scene.energy(x) <= scene.energy(scene.mode()) * (1 + 1e-4)
    step = -np.linalg.solve(scene.hessian(x, bound=True), scene.gradient(x))
    assert np.abs(scene.design @ step).max() < 0.05


def test_labels_that_contradict_each_other_share_the_probability():
    """Two classes of equal weight at one cell end as likely as each other where S0 prefers neither."""
    scene = make_scene(0, labels=1)
    twice = with_contradiction(scene)
    twice.observations.weight[:] = 3.0
    twice.base[:] = 0.0
    p = np.exp(solve(twice).logits[0])
    one, other = twice.observations.allowed.argmax(1)
    assert p[one] == pytest.approx(p[other], rel=1e-6)
    assert p[one] > 1.5 * p.min()


@pytest.mark.parametrize("name", [*SCENES, *SETS])
def test_the_curvature_solves_its_system(name):
    scene = (SCENES | SETS)[name]
    prior, cells = prior_of(scene), scene.observations.cells
    logits = scene.base[cells]
    curvature = Curvature.at(logits, scene.observations, prior)
    count, classes = logits.shape
    units = np.eye(count * classes).reshape(count, classes, -1)
    covariance = prior.times(units).reshape(count * classes, -1)
    weighted = curvature.weighted(units).reshape(count * classes, -1)
    expected = np.linalg.inv(np.eye(count * classes) + weighted @ covariance)
    assert curvature.solve(units).reshape(count * classes, -1) == pytest.approx(expected, abs=1e-6)


def test_the_curvature_of_a_set_is_that_of_its_log_odds():
    """softplus(s) with s taken as linear: its second derivative along any direction is that of Gauss and Newton."""
    scene = SETS["sets"]
    seen, draw = scene.observations, np.random.default_rng(0)
    logits, towards = scene.base[seen.cells], draw.standard_normal((len(seen.cells), 4))
    curvature = Curvature.at(logits, seen, prior_of(scene))
    for entry in np.flatnonzero(seen.allowed.sum(1) > 1):
        z, d, allowed = logits[seen.place[entry]], towards[seen.place[entry]], seen.allowed[entry]

        def odds(t, z=z, d=d, allowed=allowed):
            return logsumexp((z + t * d)[~allowed]) - logsumexp((z + t * d)[allowed])

        step = 1e-5
        along = (odds(step) - odds(-step)) / (2 * step)
        p = 1 / (1 + np.exp(-odds(0)))
        alone = replace(seen, weight=np.where(np.arange(len(seen.weight)) == entry, seen.weight, 0.0))
        found = (towards[..., None] * Curvature.at(logits, alone, curvature.prior).weighted(towards[..., None])).sum()
        assert found == pytest.approx(seen.weight[entry] * p * (1 - p) * along**2, rel=1e-5)


@pytest.mark.parametrize("name", [*SCENES, *SETS])
def test_the_information_is_what_labels_take_from_the_field(name):
    scene = replace((SCENES | SETS)[name], jacobian=None)
    prior, logits = prior_of(scene), scene.base[scene.observations.cells]
    curvature = Curvature.at(logits, scene.observations, prior)
    count, classes = logits.shape
    units = np.eye(count * classes).reshape(count, classes, -1)
    weighted = curvature.weighted(units).reshape(count * classes, -1)
    covariance = prior.times(units).reshape(count * classes, -1)
    full = np.linalg.solve(np.eye(count * classes) + weighted @ covariance, weighted).reshape(count, classes, count, -1)
    expected = np.mean([full[:, k, :, k] for k in range(classes)], axis=0)
    assert curvature.information() == pytest.approx(expected, abs=1e-6)


def test_the_prior_is_the_covariance_of_field_and_code():
    scene = make_scene(7, code_size=4)
    cells = scene.observations.cells
    units = np.eye(18).reshape(6, 3, 18)
    joint = scene.design @ np.linalg.inv(scene.prior_precision) @ scene.design.T
    rows = (3 * cells[:, None] + np.arange(3)).ravel()
    assert prior_of(scene).times(units).reshape(18, 18) == pytest.approx(joint[np.ix_(rows, rows)], abs=1e-9)


def test_noise_has_the_covariance_of_the_likelihoods_gradient():
    scene = make_scene(8, labels=2)
    cells = scene.observations.cells
    curvature = Curvature.at(scene.base[cells], scene.observations, prior_of(scene))
    noise = curvature.noise(100_000, np.random.default_rng(0)).reshape(6, -1)
    expected = curvature.weighted(np.eye(6).reshape(2, 3, 6)).reshape(6, 6)
    assert np.cov(noise) == pytest.approx(expected, abs=0.02)


def test_a_cell_that_is_certain_does_not_break_the_solver():
    scene = make_scene(9)
    scene.base[:] *= 200
    mode = solve(scene)
    assert np.isfinite(mode.dual).all()
    assert unknowns(scene, mode) == pytest.approx(scene.mode(), abs=1e-5)
