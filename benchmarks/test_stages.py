"""From a file to a refined map, stage by stage. Bytes are those that have to be read and written at least once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from problems import CASES, Case, Problem, problem_of
from segcode.refinement.linearise import linearise_at

from segcode.classes import CAMVID
from segcode.data.files import read_image
from segcode.data.resize import resize_image
from segcode.export.picture import overlay
from segcode.model.features import Pyramid
from segcode.refinement.gauss_newton import LENGTHS
from segcode.refinement.objective import NEGLIGIBLE
from segcode.refinement.refiner import solve
from segcode.truth.truth import Truth


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def problem(request, device) -> Problem:
    return problem_of(request.param, device)


@pytest.fixture
def grouped(benchmark, problem):
    benchmark.group = problem.case.name
    return problem


def pixels(case: Case) -> tuple[int, int]:
    """Of the image, and of the network's grid."""
    return int(np.prod(case.image)), int(np.prod(case.grid))


def bytes_of(pyramid: Pyramid) -> int:
    return sum(feature.nbytes for feature in pyramid.values())


def test_read_and_resize(grouped, measure, tmp_path):
    from PIL import Image

    Image.fromarray(grouped.image).save(tmp_path / "street.png")
    image, grid = pixels(grouped.case)
    measure(lambda: resize_image(read_image(tmp_path / "street.png"), *grouped.case.grid), 3 * (image + grid))


def test_features(grouped, measure):
    batch = grouped.refiner.image
    measure(lambda: grouped.model.features(batch), batch.nbytes + bytes_of(grouped.refiner.features))


def test_linearise(grouped, measure):
    features = grouped.refiner.features
    measure(lambda: linearise_at(grouped.model, features), bytes_of(features) + grouped.linearised.base.nbytes)


def test_what_refinements_share(grouped, measure):
    """J where the first prediction is held."""
    measure(grouped.held, grouped.held().jacobian.nbytes + bytes_of(grouped.refiner.features))


def test_plain_forward(grouped, measure):
    """The network without a code: image to labels, as any segmentation net does it."""
    image, grid = pixels(grouped.case)

    def forward() -> np.ndarray:
        resized = torch.from_numpy(resize_image(grouped.image, *grouped.case.grid)).to(grouped.refiner.device)
        features = grouped.model.features(resized.permute(2, 0, 1)[None].float() / 255)
        logits = grouped.model.decoder.base(features)
        logits = torch.nn.functional.interpolate(logits, grouped.case.image, mode="bilinear")
        return logits[0].max(0).indices.to(torch.uint8).cpu().numpy()

    measure(forward, 4 * image + 3 * grid + bytes_of(grouped.refiner.features))


def test_set_image(grouped, measure):
    image, grid = pixels(grouped.case)
    measure(lambda: grouped.refiner.set_image(grouped.image), 4 * image + 3 * grid + bytes_of(grouped.refiner.features))


def test_jacobian(grouped, measure):
    entries, features = grouped.entries(), grouped.refiner.features
    jacobian = grouped.linearised.jacobian(entries.pixels)
    cells = 4 * len(entries.pixels) * (features[1].shape[1] + grouped.model.config.classes) * 4
    measure(lambda: grouped.linearised.jacobian(entries.pixels), jacobian.nbytes + cells, pixels=len(jacobian))


def test_solver_step(grouped, measure):
    objective = grouped.objective(grouped.held())
    code = objective.prior.mean
    lengths = torch.tensor(LENGTHS, device=code.device)

    def step() -> torch.Tensor:
        here = objective.at(code)
        gradient, matrix = here.gradient, here.matrix(NEGLIGIBLE)
        found = torch.cholesky_solve(-gradient[:, None], torch.linalg.cholesky(matrix))[:, 0]
        return here.towards(found).values(lengths)

    measure(step, sum(term.jacobian.nbytes for term in objective.terms))


def test_solve(grouped, measure):
    objective = grouped.objective(grouped.held())
    steps = solve(objective, objective.prior.mean, grouped.refiner.config).steps
    size = (steps + 1) * sum(term.jacobian.nbytes for term in objective.terms)
    measure(lambda: solve(objective, objective.prior.mean, grouped.refiner.config), size, steps=steps)


def test_full_map(grouped, measure):
    code = torch.randn(grouped.case.code)
    image, _ = pixels(grouped.case)
    features = grouped.refiner.features[1].nbytes
    measure(lambda: grouped.refiner.decode(code), 2 * grouped.linearised.base.nbytes + features + image)


def test_overlay(grouped, measure):
    labels = grouped.refiner.decode(torch.zeros(grouped.case.code)).labels
    measure(lambda: overlay(grouped.image, CAMVID.colourise(labels)), 7 * labels.size)


def test_refinement(grouped, measure):
    """All that follows a first stroke, from zero code: Jacobian, solve, full map."""
    measure(lambda: grouped.refiner.refine(grouped.truth), setup=grouped.forget)


def test_next_stroke(grouped, measure):
    """The same after half of it was told: the search starts from the code that this gave."""
    refiner, truth = grouped.refiner, grouped.truth
    half = Truth(truth.size, truth.pixels[::2], truth.allowed[::2], truth.weight[::2])

    def first_stroke() -> None:
        grouped.forget()
        refiner.refine(half)

    measure(lambda: refiner.refine(truth), setup=first_stroke)
