from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from dense import make_scene, with_contradiction
from segcode.field.likelihood import Observations, logsumexp, softmax

SEEN = {
    "one class": make_scene(0).observations,
    "sets": make_scene(1, sets=True, classes=4).observations,
    "contradiction": with_contradiction(make_scene(2)).observations,
}


@pytest.fixture(params=SEEN)
def seen(request) -> Observations:
    return SEEN[request.param]


@pytest.fixture
def logits(seen) -> np.ndarray:
    return 3 * np.random.default_rng(0).standard_normal((len(seen), seen.allowed.shape[1]))


def test_the_value_is_minus_the_log_of_the_allowed_probability(seen, logits):
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    among = [p[place][allowed].sum() for place, allowed in zip(seen.place, seen.allowed, strict=True)]
    assert seen.value(logits) == pytest.approx(-(seen.weight * np.log(among)).sum())


def test_the_slope_is_the_derivative_of_the_value(seen, logits):
    numeric = approx_fprime(logits.ravel(), lambda z: seen.value(z.reshape(logits.shape)), 1e-6)
    assert seen.slope(logits).ravel() == pytest.approx(numeric, abs=1e-4)


def test_the_slope_of_a_cell_adds_to_zero(seen, logits):
    """A constant added to all logits of a cell changes nothing."""
    assert np.abs(seen.slope(logits).sum(1)).max() < 1e-12


def test_the_second_derivative_is_at_most_the_bound(seen, logits):
    """W H(p); equal to it where the classes are known; and W / 2 is above both (Boehning 1992)."""
    step = 1e-5
    for cell in range(len(seen)):
        numeric = np.zeros((logits.shape[1],) * 2)
        for k in range(logits.shape[1]):
            away = np.zeros_like(logits)
            away[cell, k] = step
            numeric[k] = (seen.slope(logits + away) - seen.slope(logits - away))[cell] / (2 * step)
        p = softmax(logits[cell : cell + 1])[0]
        bound = seen.total[cell] * (np.diag(p) - np.outer(p, p))
        assert np.linalg.eigvalsh(bound - numeric).min() > -1e-6
        assert np.linalg.eigvalsh(seen.total[cell] / 2 * np.eye(len(p)) - bound).min() >= 0
        if (seen.allowed[seen.place == cell].sum(1) == 1).all():
            assert numeric == pytest.approx(bound, abs=1e-6)


def test_logits_of_a_thousand_do_not_overflow():
    sure = np.array([[1000.0, -1000.0, 0.0]])
    assert softmax(sure).tolist() == [[1.0, 0.0, 0.0]]
    assert logsumexp(sure) == pytest.approx(1000)
    seen = Observations(np.array([4]), np.array([0]), np.array([[False, True, False]]), np.array([2.0]))
    assert seen.value(sure) == pytest.approx(4000)
    assert seen.slope(sure).tolist() == [[2.0, -2.0, 0.0]]


def test_entries_of_some_cells_are_those_of_these_cells():
    seen = with_contradiction(make_scene(3)).observations
    some = seen.cells[[0, 2]]
    part = seen.at(some)
    assert np.array_equal(part.cells, some)
    assert len(part.weight) == 3
    logits = np.random.default_rng(1).standard_normal((len(seen), 3))
    assert part.total == pytest.approx(seen.total[[0, 2]])
    assert part.slope(logits[[0, 2]]) == pytest.approx(seen.slope(logits)[[0, 2]])
