from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from segcode.errors import DataError, TruthError
from segcode.field.grid import Grid
from segcode.prediction import InitialPrediction
from segcode.refinement.code_path import (
    ENERGIES,
    SOLVERS,
    Entries,
    build_objective,
    draw,
    excluded_entries,
    labelled_entries,
    optimise_code,
)
from segcode.refinement.config import CodeConfig, Stopping
from segcode.refinement.solution import StopReason
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth
from tiny import TINY

SIZE = (64, 96)


@pytest.fixture
def prediction(tiny_model) -> InitialPrediction:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    return tiny_model.predict(image)


def block(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    return mask


CORNER = block(slice(4, 20), slice(10, 30))


def rarest(prediction: InitialPrediction, mask: np.ndarray) -> int:
    """The class that S0 least expects under a mask."""
    return int(prediction.base_logits[:, mask[::2, ::2]].mean(1).argmin())


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("energy", ENERGIES)
def test_truth_lowers_the_cost_and_makes_its_class_more_likely(prediction, solver, energy):
    index = rarest(prediction, CORNER)
    solved = optimise_code(prediction, mask_truth(CORNER, index, 4), CodeConfig(energy, solver, stopping=Stopping(10)))
    assert solved.solution.costs[-1] < solved.solution.costs[0]
    before, after = (
        softmax(logits, 0)[index, CORNER[::2, ::2]].mean() for logits in (prediction.base_logits, solved.logits)
    )
    assert after > before


def test_the_logits_are_s0_and_the_jacobian_times_the_code(prediction):
    solved = optimise_code(prediction, mask_truth(CORNER, 2, 4))
    pixels = np.array([[0, 0], [3, 7], [31, 47]])
    expected = (
        prediction.base_logits[:, pixels[:, 0], pixels[:, 1]].T
        + prediction.code.jacobian(pixels) @ solved.solution.code
    )
    assert solved.logits.shape == prediction.base_logits.shape
    assert np.allclose(solved.logits[:, pixels[:, 0], pixels[:, 1]].T, expected, atol=1e-4)


def test_without_truth_the_code_is_zero_and_the_map_the_initial_prediction(prediction):
    solved = optimise_code(prediction, Truth.empty(SIZE, 4))
    assert np.array_equal(solved.solution.code, np.zeros(TINY.code_size))
    assert np.allclose(solved.logits, prediction.base_logits, atol=1e-5)
    assert solved.solution.reason is StopReason.CONVERGED


def test_the_energy_is_the_sum_over_labelled_cells_and_the_prior(prediction):
    """Each cell counts 1, and "not this class" where an exhaustive class is not labelled counts 1."""
    objective = build_objective(prediction, mask_truth(CORNER, 2, 4, "exhaustive"), CodeConfig(pixels=10**6))
    code = np.linspace(-1, 1, TINY.code_size)
    p = softmax(prediction.base_logits + prediction.code.added(code[None])[0].astype(np.float64), 0)
    inside = CORNER[::2, ::2]
    expected = -np.log(p[2][inside]).sum() - np.log((1 - p[2])[~inside]).sum() + 0.5 * code @ code
    assert objective.at(code).value == pytest.approx(float(expected), rel=1e-4)


def test_an_exhaustive_class_loses_probability_elsewhere(prediction):
    common = int(prediction.base_logits.mean((1, 2)).argmax())
    part, all_of_it = (
        softmax(optimise_code(prediction, mask_truth(CORNER, common, 4, extent)).logits, 0)[common]
        for extent in ("part", "exhaustive")
    )
    elsewhere = ~CORNER[::2, ::2]
    assert all_of_it[elsewhere].mean() < part[elsewhere].mean() - 0.05


def test_nothing_is_excluded_where_no_class_would_be_left():
    truth = mask_truth(CORNER, 0, 2, "exhaustive") + mask_truth(
        ~CORNER & block(slice(40, 60), slice(0, 9)), 1, 2, "exhaustive"
    )
    assert len(excluded_entries(truth, Grid(32, 48)).cells) == 0


def test_equal_entries_of_a_cell_are_one_and_unequal_ones_share_it():
    """Cells of 2 x 2 pixels: three pixels of class 0 and one of class 1 share the first, the second is of class 0."""
    labels = mask_truth(block(slice(0, 2), slice(0, 4)), 0, 3) + mask_truth(block(slice(1, 2), slice(1, 2)), 1, 3)
    entries = labelled_entries(labels, Grid(32, 48))
    by_cell = {(int(cell), int(allowed.argmax())): weight for cell, allowed, weight in zip(*entries, strict=True)}
    assert by_cell == pytest.approx({(0, 0): 0.75, (0, 1): 0.25, (1, 0): 1.0})


@pytest.fixture
def many() -> tuple[Entries, np.ndarray]:
    random = np.random.default_rng(1)
    allowed = random.integers(0, 3, 5000)[:, None] == np.arange(3)
    return Entries(np.arange(5000), allowed, random.uniform(0.2, 1, 5000)), 3 * random.standard_normal((5000, 3))


def test_a_draw_is_no_larger_than_its_limit_repeats_and_keeps_small_sets(many):
    entries, base = many
    drawn = draw(entries, base, 500)
    assert 450 < len(drawn.cells) <= 500
    assert len(np.unique(drawn.cells)) == len(drawn.cells)
    for one, other in zip(drawn, draw(entries, base, 500), strict=True):
        assert np.array_equal(one, other)
    assert draw(entries, base, 5000) is entries


def test_sums_over_a_draw_are_about_those_over_all(many):
    entries, base = many
    missed = 1 - softmax(base, 1)[entries.allowed]
    drawn = draw(entries, base, 500)
    assert drawn.weight.sum() == pytest.approx(entries.weight.sum(), rel=0.1)
    assert drawn.weight @ missed[drawn.cells] == pytest.approx(entries.weight @ missed, rel=0.05)


def test_no_label_weighs_more_than_twice_those_of_an_even_draw(many):
    entries, base = many
    drawn = draw(entries, base, 50)
    assert drawn.weight.max() <= 2 * entries.weight.sum() / 50 * (1 + 1e-9)


@pytest.mark.parametrize("pixels", [1, 2, 7, 60])
def test_at_most_as_many_pixels_enter_as_the_configuration_allows(prediction, pixels):
    for extent in ("part", "exhaustive"):
        objective = build_objective(prediction, mask_truth(CORNER, 1, 4, extent), CodeConfig(pixels=pixels))
        assert 0 < len(objective.weight) <= pixels
    assert (objective.allowed.sum(1) == 1).any()


def test_a_code_from_a_draw_is_nearly_the_best_for_all_labels(prediction):
    truth = mask_truth(CORNER, rarest(prediction, CORNER), 4, "exhaustive")
    few = optimise_code(prediction, truth, CodeConfig(pixels=300))
    every = optimise_code(prediction, truth, CodeConfig(pixels=10**6))
    cost = build_objective(prediction, truth, CodeConfig(pixels=10**6)).at(few.solution.code).value
    assert every.solution.costs[-1] <= cost < 1.05 * every.solution.costs[-1]


def test_a_prediction_without_a_code_path_is_refused(prediction):
    with pytest.raises(DataError, match="no code path"):
        optimise_code(replace(prediction, code=None), Truth.empty(SIZE, 4))


def test_truth_for_other_classes_is_refused(prediction):
    with pytest.raises(TruthError, match="for 5 classes, the segmenter has 4"):
        optimise_code(prediction, Truth.empty(SIZE, 5))
