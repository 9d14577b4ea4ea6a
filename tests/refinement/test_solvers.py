"""The same random problems for every solver; SciPy is the oracle, and autograd that of the derivatives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from segcode.refinement.config import Stopping
from segcode.refinement.gauss_newton import gauss_newton
from segcode.refinement.objective import AmongAllowed, Divergence, EuclideanDistance, Objective, Point, Prior
from segcode.refinement.refiner import SOLVERS
from segcode.refinement.solution import Status

ENERGIES = ("cross_entropy", "euclidean")
FINE = Stopping(steps=3000, tolerance=1e-9)


def random_objective(
    seed: int, energy: str = "cross_entropy", known: bool = True, pixels: int = 40, standard: bool = True
) -> Objective:
    draw = torch.Generator().manual_seed(seed)
    classes, code = 4, 6
    label = torch.randint(0, classes, (pixels,), generator=draw)
    allowed = label[:, None] == torch.arange(classes)
    if not known:
        flipped = torch.rand(pixels, generator=draw) < 0.5
        allowed = allowed ^ flipped[:, None]
    prior = Prior(torch.zeros(code).double(), torch.ones(code).double())
    if not standard:
        prior = Prior(torch.full((code,), 0.3).double(), torch.linspace(0.5, 2.0, code).double())

    def scene(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        base, weight = (torch.randn(count, k, generator=draw, dtype=torch.float64) for k in (classes, 1))
        return base, torch.randn(count, classes, code, generator=draw, dtype=torch.float64), weight.square()[:, 0]

    misfit = AmongAllowed if energy == "cross_entropy" else EuclideanDistance
    told, held = misfit(*scene(pixels), allowed), scene(5)
    return Objective((told, Divergence(*held, held[0].softmax(1))), prior, pixels)


def cost_of_holding(objective: Objective, code: torch.Tensor) -> torch.Tensor:
    """By the prior, and of the first prediction."""
    prior, hold = objective.prior, objective.terms[1]
    p, after = hold.base.softmax(1), (hold.base + hold.jacobian @ code).log_softmax(1)
    held = torch.nn.functional.kl_div(after, p, reduction="none").sum(1)
    return 0.5 * (prior.precision * (code - prior.mean).square()).sum() + hold.weight @ held


def scipy_minimum(objective: Objective) -> float:
    def cost(code):
        return objective.at(torch.from_numpy(code)).value

    def gradient(code):
        return objective.at(torch.from_numpy(code)).gradient.numpy()

    return minimize(cost, torch.zeros(6).double().numpy(), jac=gradient, method="BFGS", options={"gtol": 1e-9}).fun


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_every_solver_finds_scipys_minimum_of_the_cross_entropy(solver, known, seed):
    objective = random_objective(seed, known=known)
    solution = SOLVERS[solver](objective, torch.zeros(6).double(), FINE)
    assert solution.costs[-1] == pytest.approx(scipy_minimum(objective), rel=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(3))
def test_every_solver_ends_in_a_minimum_of_the_euclidean_energy(solver, seed):
    objective = random_objective(seed, "euclidean")
    solution = SOLVERS[solver](objective, torch.zeros(6).double(), FINE)
    assert solution.costs[-1] <= scipy_minimum(objective) * 1.3  # not convex: minima differ
    assert objective.at(solution.code).gradient.norm() < 1e-2


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("energy", ENERGIES)
def test_costs_never_rise(solver, energy):
    solution = SOLVERS[solver](random_objective(5, energy), torch.ones(6).double(), Stopping())
    assert all(after < before for before, after in zip(solution.costs, solution.costs[1:], strict=False))
    assert solution.steps == len(solution.costs) - 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_minimum_is_recognised_at_once(solver):
    objective = random_objective(1)
    best = SOLVERS["gauss_newton"](objective, torch.zeros(6).double(), FINE).code
    again = SOLVERS[solver](objective, best, Stopping(tolerance=1e-6))
    assert again.steps == 0
    assert again.status is Status.CONVERGED


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_step_limit_is_a_status(solver):
    solution = SOLVERS[solver](random_objective(2), torch.full((6,), 3.0).double(), Stopping(steps=1, tolerance=1e-12))
    assert solution.status is Status.STEP_LIMIT
    assert "step limit" in str(solution)


@pytest.mark.parametrize("solver", ["gauss_newton", "levenberg_marquardt", "lbfgs"])
def test_what_the_arithmetic_cannot_lower_is_a_status(solver):
    solution = SOLVERS[solver](random_objective(3), torch.zeros(6).double(), Stopping(steps=1000, tolerance=0.0))
    assert solution.status is Status.STALLED


def test_the_matrix_of_an_earlier_problem_serves(monkeypatch):
    objective = random_objective(1)
    start = objective.prior.mean
    solved = gauss_newton(objective, start, Stopping())
    assert solved.factor is not None
    for other in (0.5, 1.5):
        found = gauss_newton(objective, start, Stopping(), other * solved.factor)
        assert found.costs[-1] == pytest.approx(solved.costs[-1], rel=1e-4)
    monkeypatch.setattr(Point, "matrix", lambda *_: pytest.fail("made anew"))
    step = gauss_newton(objective, start, Stopping(steps=1), solved.factor)
    assert step.costs[-1] < step.costs[0]


def test_a_search_starts_with_what_is_about_known_of_its_matrix():
    objective = random_objective(1)
    start = objective.prior.mean
    solved = gauss_newton(objective, start, Stopping())
    told, held = objective.terms
    curvature = held.curvature(held.base)
    for far in (1.0, 0.5, 3.0):
        guessed = replace(objective, terms=(told, replace(held, known=far * curvature)))
        more = guessed.at(start).estimate() - objective.at(start).matrix()
        assert torch.allclose(more, (far - 1) * curvature)
        assert gauss_newton(guessed, start, Stopping()).costs[-1] == pytest.approx(solved.costs[-1], rel=1e-4)


def test_second_order_solvers_need_few_steps():
    objective = random_objective(4)
    first = SOLVERS["adam"](objective, torch.zeros(6).double(), FINE)
    second = SOLVERS["gauss_newton"](objective, torch.zeros(6).double(), FINE)
    assert second.steps < first.steps / 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(ENERGIES), st.booleans())
def test_gradient_is_that_of_autograd(seed, energy, known):
    objective = random_objective(seed, energy, known, pixels=8, standard=False)
    code = torch.randn(6, dtype=torch.float64, requires_grad=True)
    told = objective.terms[0]
    p = (told.base + told.jacobian @ code).softmax(1)
    if energy == "cross_entropy":
        misfit = -(p * told.allowed).sum(1).log()
    else:
        q = (p * told.allowed) / (p * told.allowed).sum(1, keepdim=True)
        misfit = (p - q).square().sum(1)
    cost = told.weight @ misfit + cost_of_holding(objective, code)
    (expected,) = torch.autograd.grad(cost, code)
    assert objective.at(code.detach()).value == pytest.approx(float(cost.detach()), rel=1e-9)
    assert torch.allclose(objective.at(code.detach()).gradient, expected, atol=1e-9)


def test_matrix_is_the_hessian_of_the_cross_entropy_of_known_classes():
    objective = random_objective(7, standard=False)
    code, told = torch.randn(6, dtype=torch.float64), objective.terms[0]

    def cost(code):
        logits = told.base + told.jacobian @ code
        return told.weight @ -(logits.log_softmax(1)[told.allowed]) + cost_of_holding(objective, code)

    assert torch.allclose(objective.at(code).matrix(), torch.autograd.functional.hessian(cost, code), atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(ENERGIES), st.booleans())
def test_matrix_is_at_least_the_prior(seed, energy, known):
    """So the posterior's covariance always exists."""
    objective = random_objective(seed, energy, known, standard=False)
    matrix = objective.at(torch.randn(6, dtype=torch.float64)).matrix()
    assert torch.linalg.eigvalsh(matrix).min() >= float(objective.prior.precision.min()) - 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_the_gap_bounds_the_distance_to_the_minimum(seed):
    objective = random_objective(seed, standard=False)
    code = torch.randn(6, dtype=torch.float64)
    assert objective.at(code).value - scipy_minimum(objective) <= objective.gap(objective.at(code).gradient)
