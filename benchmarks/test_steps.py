"""What each step towards speed is worth: the way that is taken beside the one that it replaced, on the same work."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from problems import CITYSCAPES, FULL, LARGE, SHIPPED, Problem, problem_of
from torch.nn import functional

from segcode.model import linear_decoder
from segcode.refinement import gauss_newton
from segcode.refinement.config import Stopping
from segcode.refinement.labelling import labels_of
from segcode.refinement.objective import NEGLIGIBLE
from segcode.refinement.refiner import SOLVERS


@pytest.fixture(scope="module", params=[SHIPPED, LARGE, FULL, CITYSCAPES], ids=lambda case: case.name)
def problem(request, device) -> Problem:
    return problem_of(request.param, device)


@pytest.fixture
def compare(benchmark, problem) -> Callable[..., None]:
    def run(step: str, work: Callable[[], object]) -> None:
        benchmark.group = f"step, {problem.case.name}: {step}"
        with torch.no_grad():
            benchmark(work)

    return run


@pytest.mark.parametrize("way", ["where cells differ", "max", "argmax"])
def test_labels(compare, problem, way):
    """At the image's size; `max` gives the indices of `argmax`."""
    logits, size = problem.linearised.base, problem.case.image

    def resized() -> torch.Tensor:
        return functional.interpolate(logits[None], size, mode="bilinear")[0]

    ways = {
        "where cells differ": lambda: labels_of(logits, size),
        "max": lambda: resized().max(0).indices,
        "argmax": lambda: resized().argmax(0),
    }
    compare("labels of a map", ways[way])


@pytest.mark.parametrize("way", ["product", "convolution"])
def test_last_layer(compare, problem, way):
    layer = problem.model.decoder.of_code.last
    feature, x = (
        problem.linearised.features[1],
        torch.randn(1, problem.model.config.code_channels, *problem.linearised.size),
    )

    def convolved() -> torch.Tensor:
        return layer.of_code(torch.cat([x, x * layer.gate(feature)], dim=1))

    compare("last layer", (lambda: layer._mixed(x, feature)) if way == "product" else convolved)


@pytest.mark.parametrize("way", ["bands", "whole"])
def test_full_map(compare, problem, way, monkeypatch):
    if way == "whole":
        monkeypatch.setattr(linear_decoder, "SMALL", math.prod(problem.linearised.size))
    code = torch.randn(1, problem.case.code)
    compare("map of a code", lambda: problem.linearised.logits(code))


@pytest.mark.parametrize("way", ["needed cells", "all cells"])
def test_jacobian(compare, problem, way):
    """Of the stroke's pixels; before, unit codes went through the coarse layers of the whole image."""
    pixels, decoder, features = problem.entries().pixels, problem.model.decoder, problem.linearised.features
    eye = torch.eye(problem.case.code)

    def everywhere() -> torch.Tensor:
        x = decoder.grid(eye).unflatten(1, decoder.grid_shape)
        for stride, layer in zip(decoder.of_code.strides, decoder.of_code.layers, strict=True):
            x = layer(x, features[stride])
        return x

    compare("Jacobian", everywhere if way == "all cells" else lambda: problem.linearised.jacobian(pixels))


@pytest.mark.parametrize("way", ["rows that count", "all rows"])
def test_matrix(compare, problem, way):
    with torch.no_grad():
        objective = problem.objective(problem.held())
    negligible = NEGLIGIBLE if way == "rows that count" else 0.0
    compare("matrix of a step", lambda: objective.at(objective.prior.mean).matrix(negligible))


SOLVES = (
    "gauss_newton, curvature of the hold known",
    "gauss_newton, matrix kept",
    "gauss_newton",
    "levenberg_marquardt",
)


@pytest.mark.parametrize("way", SOLVES)
def test_solver(compare, problem, way, monkeypatch, benchmark):
    if way == "gauss_newton":
        monkeypatch.setattr(gauss_newton, "TRUSTED", 1.0)
    with torch.no_grad():
        held = problem.held()
        objective = problem.objective(held if way == SOLVES[0] else held._replace(curvature=None))
        solver = SOLVERS["levenberg_marquardt" if way == "levenberg_marquardt" else "gauss_newton"]
        benchmark.extra_info["steps"] = solver(objective, objective.prior.mean, Stopping()).steps
    compare("solve", lambda: solver(objective, objective.prior.mean, Stopping()))


@pytest.mark.parametrize("way", ["channels first", "channels last"])
def test_features(compare, problem, way):
    """Tried, and not taken: see docs/performance.md."""
    last = torch.channels_last if way == "channels last" else torch.contiguous_format
    features = problem.model.features.to(memory_format=last)
    image = problem.refiner.image.contiguous(memory_format=last)
    compare("features, channels last tried", lambda: features(image))
    problem.model.features.to(memory_format=torch.contiguous_format)
