"""The code path: from features and an energy to the code, segcode and others, within 1e-3 of the least energy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from problems import FULL, SHIPPED, Problem, problem_of
from scipy.optimize import least_squares, minimize
from torch import Tensor
from torch.func import jvp, vjp

from segcode.evaluation.baselines.f_brs import FBRS
from segcode.evaluation.baselines.labelled import LabelledCells
from segcode.model.linearisation import JacobianCache, Linearisation
from segcode.refinement.code_path import SOLVERS, build_objective
from segcode.refinement.config import CodeConfig, Stopping
from segcode.refinement.gauss_newton import gauss_newton
from segcode.refinement.objective import Objective

GAP = 1e-3
PATIENCE = 1000
"""Evaluations after which a rival has failed."""

RATES = (0.02, 0.05, 0.1, 0.2)
"""Of Adam; the best counts."""


class Reached(Exception):  # noqa: N818
    """The energy is low enough."""


@dataclass
class Race:
    """An energy of the code, its minimum, and how many evaluations a solver takes to come near it.

    `logits` goes through the decoder to the full map, as one does without knowing that J is at hand.
    """

    problem: Problem
    linearised: Linearisation
    objective: Objective
    pixels: Tensor
    least: float
    evaluations: int = 0
    arrived: bool = False

    @property
    def start(self) -> Tensor:
        return torch.zeros(self.linearised.code_size, device=self.pixels.device)

    def logits(self, code: Tensor) -> Tensor:
        """At the labelled cells."""
        added = self.linearised.decoder.linear(self.linearised.features, code[None])[0]
        rows, columns = self.pixels.unbind(1)
        return (self.linearised.base_logits + added)[:, rows, columns].T

    def energy(self, logits: Tensor, code: Tensor) -> Tensor:
        value = self.objective.energy(code, logits)
        self.note(float(value.detach()))
        return value

    def note(self, value: float) -> None:
        self.evaluations += 1
        if value <= self.least * (1 + GAP):
            self.arrived = True
            raise Reached
        assert self.evaluations <= PATIENCE, "a rival did not arrive"


@pytest.fixture(scope="module", params=[SHIPPED, FULL], ids=lambda case: case.name)
def race(request, device) -> Race:
    return race_of(problem_of(request.param, device))


@torch.no_grad()
def race_of(problem: Problem) -> Race:
    """The energy of a problem, and its minimum."""
    prediction = problem.refiner.prediction
    seen = prediction.code
    assert isinstance(seen, Linearisation)
    # Autograd refuses tensors that were made in inference mode.
    features = {stride: values.clone() for stride, values in seen.features.items()}
    linearised = Linearisation(seen.base_logits.clone(), features, seen.decoder, seen.uncertainty)
    objective = build_objective(replace(prediction, base_logits=linearised.base_logits), problem.truth, CodeConfig())
    pixels = LabelledCells.of(problem.truth, linearised).pixels
    least = gauss_newton(objective, torch.zeros(seen.code_size).to(objective.base), Stopping(100, 1e-9)).costs[-1]
    return Race(problem, linearised, objective, pixels, least)


def segcode(race: Race) -> None:
    """J at the labelled cells, and the solve."""
    linearised = replace(race.linearised, cache=JacobianCache())
    objective = replace(race.objective, jacobian=linearised.jacobian(race.pixels))
    gauss_newton(objective, race.start, Stopping(tolerance=GAP))


def our_lbfgs(race: Race) -> None:
    SOLVERS["lbfgs"](race.objective, race.start, Stopping(200, GAP))


def through_the_decoder(race: Race, step: Callable[[Tensor, Callable[[], float]], None]) -> None:
    """A first-order search by automatic differentiation."""
    code = race.start.clone().requires_grad_()

    def closure() -> float:
        code.grad = None
        value = race.energy(race.logits(code), code)
        value.backward()
        return float(value.detach())

    with torch.enable_grad(), suppress(Reached):
        step(code, closure)


def adam(race: Race, rate: float) -> None:
    def search(code: Tensor, closure: Callable[[], float]) -> None:
        optimiser = torch.optim.Adam([code], lr=rate)
        while True:
            optimiser.step(closure)

    through_the_decoder(race, search)


def lbfgs(race: Race) -> None:
    def search(code: Tensor, closure: Callable[[], float]) -> None:
        optimiser = torch.optim.LBFGS([code], max_iter=PATIENCE, line_search_fn="strong_wolfe", tolerance_change=0)
        optimiser.step(closure)

    through_the_decoder(race, search)


def newton_cg(race: Race) -> None:
    """Gauss-Newton steps by conjugate gradients in a trust region, J v and J^T u by automatic differentiation."""
    weight = race.objective.weight[:, None]

    def of(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(race.start)

    def back(code: Tensor, pull: Tensor) -> Tensor:
        return vjp(race.logits, code)[1](pull)[0]

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        code = of(x)
        logits = race.logits(code)
        gradient = back(code, weight * race.objective.slope(logits)) + code
        return float(race.energy(logits, code)), gradient.double().cpu().numpy()

    def product(x: np.ndarray, direction: np.ndarray) -> np.ndarray:
        code, along = of(x), of(direction)
        logits, moved = jvp(race.logits, (code,), (along,))
        p = logits.softmax(1)
        pull = weight * p * (moved - (p * moved).sum(1, keepdim=True))
        return (back(code, pull) + along).double().cpu().numpy()

    with torch.enable_grad(), suppress(Reached):
        minimize(value_and_gradient, race.start.double().cpu().numpy(), jac=True, hessp=product, method="trust-ncg")


def scipys_least_squares(race: Race) -> None:
    """Residuals are the roots of the misfits; their derivatives are by our J, gathered, for SciPy has none."""
    objective = race.objective

    def roots(logits: Tensor) -> Tensor:
        return (2 * objective.weight * objective.misfit(logits).clamp(min=0) + 1e-6).sqrt()

    def residuals(x: np.ndarray) -> np.ndarray:
        code = torch.from_numpy(x).to(race.start)
        race.note(objective.at(code).value)
        return torch.cat([roots(objective.at(code).logits), code]).double().cpu().numpy()

    def derivative(x: np.ndarray) -> np.ndarray:
        logits = objective.at(torch.from_numpy(x).to(race.start)).logits
        pull = (objective.weight / roots(logits))[:, None] * objective.slope(logits)
        rows = (pull[:, None] @ objective.jacobian)[:, 0]
        return torch.cat([rows, torch.eye(len(x)).to(rows)]).double().cpu().numpy()

    with suppress(Reached):
        least_squares(residuals, race.start.double().cpu().numpy(), derivative, ftol=None, xtol=1e-15, gtol=1e-15)


def full_jacobian(race: Race) -> None:
    """J at every pixel by the decoder, sixteen unit codes at a time, then our solver."""
    decoder, features = race.linearised.decoder, race.linearised.features
    codes = torch.eye(len(race.start), device=race.start.device).split(16)
    everywhere = torch.cat([decoder.linear(features, some) for some in codes])
    rows, columns = race.pixels.unbind(1)
    jacobian = everywhere[:, :, rows, columns].permute(2, 1, 0).contiguous()
    gauss_newton(replace(race.objective, jacobian=jacobian), race.start, Stopping(tolerance=GAP))


def f_brs(race: Race) -> None:
    """Twenty steps on the scale and bias of the last features: another energy, for its time alone."""
    method = FBRS(0.3)
    method.begin(race.problem.refiner, race.problem.image)
    with torch.enable_grad():
        method.refine(race.problem.truth)


def best_adam(race: Race) -> Callable[[Race], None]:
    """With the rate that takes the fewest steps."""
    counts = {}
    for rate in RATES:
        race.evaluations = 0
        with suppress(AssertionError):
            adam(race, rate)
            counts[rate] = race.evaluations
    return partial(adam, rate=min(counts, key=counts.__getitem__))


RIVALS: dict[str, Callable[[Race], None]] = {
    "segcode": segcode,
    "J of all pixels by the decoder, our solver": full_jacobian,
    "our J, L-BFGS": our_lbfgs,
    "our J, SciPy's least_squares": scipys_least_squares,
    "automatic differentiation, L-BFGS": lbfgs,
    "automatic differentiation, Adam": adam,
    "torch.func, SciPy's Newton-CG": newton_cg,
    "f-BRS (another energy)": f_brs,
}


def ready(race: Race, name: str) -> Callable[[], None]:
    """A rival at the start; those that count evaluations have to arrive."""
    with torch.no_grad():
        work = best_adam(race) if RIVALS[name] is adam else RIVALS[name]

    def run() -> None:
        race.evaluations, race.arrived = 0, False
        with torch.no_grad():
            work(race)
        if race.start.is_cuda:
            torch.cuda.synchronize()

    return run


@pytest.mark.parametrize("name", RIVALS)
def test_rival(benchmark, race, name):
    benchmark.group = f"rivals, {race.problem.case.name}"
    run = ready(race, name)
    run()
    assert race.arrived or race.evaluations == 0, "the rival stopped too high"
    benchmark.pedantic(run, rounds=25 if RIVALS[name] is segcode else 3)
    benchmark.extra_info["evaluations"] = race.evaluations or None
