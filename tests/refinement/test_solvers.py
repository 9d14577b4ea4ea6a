"""The same random problems for every solver; SciPy is the oracle, and autograd that of the derivatives."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from segcode.refinement.code_path import ENERGIES, SOLVERS
from segcode.refinement.config import Stopping
from segcode.refinement.objective import Objective
from segcode.refinement.solution import StopReason

CODE = 6
FINE = Stopping(steps=3000, tolerance=1e-9)
ZERO = np.zeros(CODE)


def random_objective(seed: int, energy: str = "cross_entropy", known: bool = True, pixels: int = 40) -> Objective:
    draw = np.random.default_rng(seed)
    classes = 4
    allowed = draw.integers(0, classes, pixels)[:, None] == np.arange(classes)
    if not known:
        allowed ^= (draw.random(pixels) < 0.5)[:, None]
    base, weight = draw.standard_normal((pixels, classes)), draw.standard_normal(pixels)
    return ENERGIES[energy](base, draw.standard_normal((pixels, classes, CODE)), weight**2, allowed)


def plain_energy(objective: Objective, code: torch.Tensor, energy: str) -> torch.Tensor:
    """E from probabilities, as Eq. 8 and the docstring have it, for autograd."""
    base, jacobian, weight, allowed = map(torch.from_numpy, astuple(objective))
    p = (base + jacobian @ code).softmax(1)
    among = p * allowed
    if energy == "cross_entropy":
        misfit = -among.sum(1).log()
    else:
        misfit = (p - among / among.sum(1, keepdim=True)).square().sum(1)
    return weight @ misfit + 0.5 * code.square().sum()


def scipy_minimum(objective: Objective) -> float:
    def cost(code):
        return objective.at(code).value

    def gradient(code):
        return objective.at(code).gradient

    return minimize(cost, ZERO, jac=gradient, method="BFGS", options={"gtol": 1e-9}).fun


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_every_solver_finds_scipys_minimum_of_the_cross_entropy(solver, known, seed):
    objective = random_objective(seed, known=known)
    solution = SOLVERS[solver](objective, ZERO, FINE)
    assert solution.costs[-1] == pytest.approx(scipy_minimum(objective), rel=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(3))
def test_every_solver_ends_in_a_minimum_of_the_euclidean_energy(solver, seed):
    objective = random_objective(seed, "euclidean")
    solution = SOLVERS[solver](objective, ZERO, FINE)
    assert solution.costs[-1] <= scipy_minimum(objective) * 1.3  # not convex: minima differ
    assert np.linalg.norm(objective.at(solution.code).gradient) < 1e-2


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("energy", ENERGIES)
def test_costs_never_rise_and_the_last_is_that_of_the_code(solver, energy):
    objective = random_objective(5, energy)
    solution = SOLVERS[solver](objective, np.ones(CODE), Stopping())
    assert all(after < before for before, after in zip(solution.costs, solution.costs[1:], strict=False))
    assert len(solution.costs) > 1
    assert objective.at(solution.code).value == pytest.approx(solution.costs[-1], rel=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_minimum_is_recognised_at_once(solver):
    objective = random_objective(1)
    best = SOLVERS["gauss_newton"](objective, ZERO, FINE).code
    again = SOLVERS[solver](objective, best, Stopping(tolerance=1e-6))
    assert len(again.costs) == 1
    assert again.reason is StopReason.CONVERGED


@pytest.mark.parametrize("solver", SOLVERS)
def test_without_entries_zero_code_is_the_minimum(solver):
    objective = random_objective(1, pixels=0)
    solution = SOLVERS[solver](objective, ZERO, Stopping())
    assert solution.reason is StopReason.CONVERGED
    assert np.array_equal(solution.code, ZERO)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_step_limit_is_a_status(solver):
    solution = SOLVERS[solver](random_objective(2), np.full(6, 3.0), Stopping(steps=1, tolerance=1e-12))
    assert solution.reason is StopReason.STEP_LIMIT
    assert "step limit" in solution.reason.value


@pytest.mark.parametrize("solver", ["gauss_newton", "levenberg_marquardt", "lbfgs"])
def test_a_cost_that_the_arithmetic_cannot_lower_is_a_status(solver):
    solution = SOLVERS[solver](random_objective(3), ZERO, Stopping(steps=1000, tolerance=0.0))
    assert solution.reason is StopReason.STALLED


def test_second_order_solvers_need_few_steps():
    objective = random_objective(4)
    first = SOLVERS["adam"](objective, ZERO, FINE)
    for solver in ("gauss_newton", "levenberg_marquardt"):
        assert len(SOLVERS[solver](objective, ZERO, FINE).costs) < len(first.costs) / 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(ENERGIES)), st.booleans())
def test_value_and_gradient_are_those_of_autograd(seed, energy, known):
    objective = random_objective(seed, energy, known, pixels=8)
    code = torch.randn(CODE, dtype=torch.float64, requires_grad=True)
    cost = plain_energy(objective, code, energy)
    (expected,) = torch.autograd.grad(cost, code)
    here = objective.at(code.detach().numpy())
    assert here.value == pytest.approx(float(cost.detach()), rel=1e-9)
    assert np.allclose(here.gradient, expected, atol=1e-9)


def test_the_hessian_is_exact_for_the_cross_entropy_of_known_classes():
    objective = random_objective(7)
    code = torch.randn(CODE, dtype=torch.float64)
    exact = torch.autograd.functional.hessian(lambda c: plain_energy(objective, c, "cross_entropy"), code)
    assert np.allclose(objective.at(code.numpy()).hessian, exact, atol=1e-9)


def test_the_hessian_of_the_euclidean_energy_is_that_of_gauss_and_newton():
    objective = random_objective(7, "euclidean", known=False)
    code = torch.randn(CODE, dtype=torch.float64)

    def residual(c):
        base, jacobian, weight, allowed = map(torch.from_numpy, astuple(objective))
        p = (base + jacobian @ c).softmax(1)
        among = p * allowed
        away = p - among / among.sum(1, keepdim=True)
        return ((2 * weight[:, None]).sqrt() * away).flatten()

    derivative = torch.autograd.functional.jacobian(residual, code)
    assert np.allclose(objective.at(code.numpy()).hessian, derivative.T @ derivative + torch.eye(CODE), atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(ENERGIES)), st.booleans())
def test_the_hessian_is_at_least_the_precision_of_the_prior(seed, energy, known):
    hessian = random_objective(seed, energy, known).at(np.random.default_rng(seed).standard_normal(CODE)).hessian
    assert np.linalg.eigvalsh(hessian).min() >= 1 - 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_the_gap_bounds_the_distance_to_the_minimum(seed):
    objective = random_objective(seed)
    here = objective.at(np.random.default_rng(seed).standard_normal(CODE))
    assert here.value - scipy_minimum(objective) <= here.gap


def test_a_line_search_agrees_with_the_energy_at_its_codes():
    here = random_objective(3, known=False).at(np.random.default_rng(0).standard_normal(CODE))
    step, lengths = np.random.default_rng(1).standard_normal(CODE), np.array([0.1, 1.0, 2.5])
    expected = [here.objective.at(here.code + t * step).value for t in lengths]
    assert here.along(step, lengths).tolist() == pytest.approx(expected)
