from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dense import Scene, make_scene

from segcode.field import posterior as posterior_module
from segcode.field.grid import Grid
from segcode.field.posterior import Posterior, condition, preview

SCENES = {"field": make_scene(0), "field and code": make_scene(1, code_size=4)}
MAX_DENSE_CELLS = 128


def solve(scene: Scene) -> Posterior:
    return condition(scene.base, scene.precision, scene.observations, scene.path)


def without_labels(scene: Scene) -> Scene:
    return replace(scene, observations=scene.observations.at(np.zeros(0, int)))


@pytest.fixture(params=SCENES)
def scene(request) -> Scene:
    return SCENES[request.param]


@pytest.fixture
def few_is_zero(monkeypatch):
    monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", 0)


def test_the_mode_is_that_of_the_dense_model(scene):
    field, code = scene.parts(scene.mode())
    found = solve(scene)
    assert found.field == pytest.approx(field, abs=1e-3)
    assert (found.code is None) == (scene.jacobian is None)
    if found.code is not None:
        assert found.code == pytest.approx(code, abs=1e-3)
    assert found.converged


def test_draws_have_the_covariance_of_the_dense_laplace_approximation(scene):
    found = solve(scene)
    draws = found.draw(20_000, seed=0)
    unknowns = draws.field.reshape(20_000, -1)
    if draws.code is not None:
        unknowns = np.hstack([unknowns, draws.code])
    expected = np.linalg.inv(scene.hessian(scene.mode()))
    assert np.cov(unknowns.T) == pytest.approx(expected, abs=0.04 * expected.max())
    assert unknowns.mean(0) == pytest.approx(scene.mode(), abs=0.04 * np.sqrt(expected.max()))


def test_draws_before_any_label_are_from_the_prior(scene):
    found = solve(without_labels(scene))
    assert (found.field == 0).all()
    draws = found.draw(20_000, seed=0)
    first_class = draws.field[:, :, 0]
    expected = scene.precision.covariance(np.arange(30))
    assert np.cov(first_class.T) == pytest.approx(expected, abs=0.04 * expected.max())
    if draws.code is not None:
        assert np.cov(draws.code.T) == pytest.approx(np.eye(4), abs=0.04)


def test_columns_of_the_covariance_are_the_mean_over_classes_of_the_dense_ones():
    scene = SCENES["field"]
    dense = np.linalg.inv(scene.hessian(scene.mode())).reshape(30, 3, 30, 3)
    expected = np.mean([dense[:, k, :, k] for k in range(3)], axis=0)
    cells = np.array([7, 2, scene.observations.cells[0]])
    assert solve(scene).covariance(cells) == pytest.approx(expected[:, cells], abs=1e-5)


def test_without_labels_the_covariance_is_that_of_the_prior(scene):
    cells = np.array([4, 1])
    found = solve(without_labels(scene)).covariance(cells)
    assert found == pytest.approx(scene.precision.covariance(cells))


def test_labels_lower_the_variance(scene, monkeypatch):
    before = np.array(
        [without.covariance(np.array([i]))[i, 0] for without in [solve(without_labels(scene))] for i in range(30)]
    )
    for limit in (MAX_DENSE_CELLS, 0):
        monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", limit)
        found = solve(replace(scene, jacobian=None))
        after = np.array([found.covariance(np.array([i]))[i, 0] for i in range(30)])
        assert (after <= before + 1e-9).all()
        assert (after < 0.99 * before)[scene.observations.cells].all()


def test_draws_of_many_labels_have_the_covariance_of_the_bound(few_is_zero):
    scene = SCENES["field"]
    draws = solve(scene).draw(20_000, seed=0).field
    precision = scene.precision.matrix.toarray()
    precision[scene.observations.cells, scene.observations.cells] += scene.observations.total / 2
    expected = np.linalg.inv(precision)
    assert np.cov(draws[:, :, 1].T) == pytest.approx(expected, abs=0.04 * expected.max())
    assert solve(scene).covariance(np.arange(30)) == pytest.approx(expected)


def test_draws_repeat_by_their_seed(scene):
    found = solve(scene)
    assert np.array_equal(found.draw(2, seed=1).field, found.draw(2, seed=1).field)
    assert not np.array_equal(found.draw(2, seed=1).field, found.draw(2, seed=2).field)
    assert found.draw(2, seed=1).field.shape == (2, 30, 3)


def test_few_and_many_labels_agree_around_the_boundary(monkeypatch):
    scene = make_scene(5, labels=MAX_DENSE_CELLS, grid=Grid(15, 20))
    exact = solve(scene)
    monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", MAX_DENSE_CELLS - 1)
    quick = solve(scene)
    assert exact._on_grid is None
    assert quick._on_grid is not None
    labels = [(scene.base + found.field).argmax(1) for found in (exact, quick)]
    assert (labels[0] == labels[1]).mean() > 0.95
    assert (labels[0] != scene.base.argmax(1)).mean() > 0.2


def test_the_covariance_given_many_labels_needs_no_column_of_the_prior(few_is_zero, monkeypatch):
    """There are thousands of labelled cells: their columns would take gigabytes."""
    scene = SCENES["field"]
    found = solve(scene)
    monkeypatch.setattr(scene.precision, "covariance", lambda cells: pytest.fail("columns of the prior"))
    assert found.covariance(np.array([3])).shape == (30, 1)


def test_a_preview_is_the_closed_form_at_all_cells():
    scene = SCENES["field"]
    field = preview(scene.base, Posterior.prior(scene.precision, scene.base.shape[1], None), scene.observations)
    labels = (scene.base + field).argmax(1)
    cells = scene.observations.cells
    assert (labels[cells] == scene.observations.allowed.argmax(1)).mean() > 0.6
    assert field.shape == scene.base.shape


def test_a_preview_of_many_cells_follows_from_some(monkeypatch):
    scene = make_scene(5, labels=200, grid=Grid(15, 20))
    asked = []
    covariance = scene.precision.covariance
    monkeypatch.setattr(scene.precision, "covariance", lambda cells: asked.append(cells) or covariance(cells))
    preview(scene.base, Posterior.prior(scene.precision, scene.base.shape[1], None), scene.observations)
    (cells,) = asked
    assert len(cells) == MAX_DENSE_CELLS
    assert np.isin(cells, scene.observations.cells).all()


def test_a_preview_given_a_mask_follows_from_few(few_is_zero, monkeypatch):
    scene = make_scene(5, labels=200, grid=Grid(15, 20))
    found = solve(scene)
    asked = []
    covariance = Posterior.covariance
    monkeypatch.setattr(Posterior, "covariance", lambda self, cells: asked.append(cells) or covariance(self, cells))
    assert preview(scene.base, found, scene.observations).shape == scene.base.shape
    assert [len(cells) for cells in asked] == [32]
