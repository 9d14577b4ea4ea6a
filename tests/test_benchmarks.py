"""What `make bench` times, run once on a small problem: a rival that no longer arrives would time nothing."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from types import SimpleNamespace

import pytest
import test_rivals
import test_stages
import test_steps
import torch
from problems import Case, Problem, problem_of

SMALL = Case("small", (96, 160), (72, 96), classes=9, code=96)
STAGES = [work for name, work in vars(test_stages).items() if name.startswith("test_")]
STEPS = [work for name, work in vars(test_steps).items() if name.startswith("test_")]
WAYS = [(step, way) for step in STEPS for way in step.pytestmark[0].args[1]]


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_of(SMALL, "cpu")


@pytest.fixture(scope="module")
def race(problem: Problem) -> test_rivals.Race:
    return test_rivals.race_of(problem)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_a_stage_runs(stage, problem, tmp_path):
    seen = []

    def measure(work: Callable[[], object], size: float = 0, setup: Callable[[], None] | None = None, **_: object):
        if setup:
            setup()
        with torch.no_grad():
            seen.append(work())

    arguments = {"grouped": problem, "measure": measure, "tmp_path": tmp_path}
    stage(**{name: arguments[name] for name in signature(stage).parameters})
    assert seen


@pytest.mark.parametrize(("step", "way"), WAYS, ids=lambda value: getattr(value, "__name__", value))
def test_a_step_runs_in_each_way(step, way, problem, monkeypatch):
    seen = []

    def compare(_: str, work: Callable[[], object]) -> None:
        with torch.no_grad():
            seen.append(work())

    benchmark = SimpleNamespace(extra_info={})
    arguments = {"compare": compare, "problem": problem, "way": way, "monkeypatch": monkeypatch, "benchmark": benchmark}
    step(**{name: arguments[name] for name in signature(step).parameters})
    assert seen


@pytest.mark.parametrize("name", test_rivals.RIVALS)
def test_a_rival_arrives(name, race):
    test_rivals.ready(race, name)()
    assert race.arrived or race.evaluations == 0
