from __future__ import annotations

import itertools

import numpy as np
import pytest
from dense import Scene, make_scene, with_contradiction

from segcode.field.grid import Grid
from segcode.field.masks import Bound, GridMode, find_mode_on_grid

SCENES = {
    "one class": make_scene(0, labels=20),
    "sets": make_scene(1, labels=20, sets=True),
    "everywhere": make_scene(6, labels=30),
    "contradiction": with_contradiction(make_scene(2, labels=25)),
}


def solve(scene: Scene, **options) -> GridMode:
    cells = scene.observations.cells
    bound = Bound(scene.observations, scene.precision, everywhere=len(cells) == len(scene.base))
    return find_mode_on_grid(scene.base[cells], scene.observations, scene.precision, bound, **options)


@pytest.fixture(params=SCENES)
def scene(request) -> Scene:
    return SCENES[request.param]


def test_many_steps_converge_to_the_mode_of_the_dense_model(scene):
    mode = solve(scene, share=1e-14, max_steps=3000)
    assert mode.converged
    assert scene.energy(mode.field.ravel()) == pytest.approx(scene.energy(scene.mode()), rel=1e-6)
    assert mode.field.ravel() == pytest.approx(scene.mode(), abs=1e-3)


def test_the_energy_never_rises(scene):
    energies = [scene.energy(np.zeros(scene.base.size))]
    energies += [scene.energy(solve(scene, share=0.0, max_steps=steps).field.ravel()) for steps in range(1, 12)]
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(energies))
    assert energies[1] < energies[0]


def test_the_default_steps_give_nearly_the_same_labels():
    scene = make_scene(3, labels=200, grid=Grid(15, 20))
    quick, exact = solve(scene), solve(scene, share=1e-12, max_steps=500)
    labels = [(scene.base + mode.field).argmax(1) for mode in (quick, exact)]
    assert quick.steps <= 3
    assert (labels[0] == labels[1]).mean() > 0.97


def test_the_factor_is_that_of_the_bound():
    scene = make_scene(4, labels=20)
    matrix = scene.precision.matrix.toarray()
    matrix[scene.observations.cells, scene.observations.cells] += scene.observations.total / 2
    assert solve(scene).factor.result().solve(np.eye(30)) == pytest.approx(np.linalg.inv(matrix))
