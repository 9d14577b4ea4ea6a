from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcode.model.evidence import HOLD, START
from segcode.refinement.config import RefinementConfig
from segcode.refinement.linearise import linearise
from segcode.refinement.objective import Divergence, Objective, Prior
from segcode.refinement.problem import DOUBT, FEW, TRUSTED_MORE, Entries, draw, entries_of, held_at, hold, lattice, pose
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth
from tiny import TINY

PRIOR = Prior.standard(TINY.code_size)


@pytest.fixture
def scene(tiny_model):
    torch.manual_seed(0)
    return tiny_model, linearise(tiny_model, torch.rand(1, 3, *TINY.size))


def entered(scene, truth: Truth, **settings) -> Entries:
    model, linearised = scene
    config = replace(RefinementConfig(), **settings)
    return entries_of(linearised, held_at(linearised, config.held), truth, model.evidence, config)


def held(scene, truth: Truth, **settings) -> list[Divergence]:
    config = replace(RefinementConfig(), **settings)
    return hold(held_at(scene[1], config.held), truth, truth.complete(), scene[0].evidence, config)


def posed(scene, truth: Truth, **settings) -> Objective:
    model, linearised = scene
    config = replace(RefinementConfig(), **settings)
    held = held_at(linearised, config.held)
    return pose(linearised, held, truth, truth.complete(), PRIOR, model.evidence, config)


def trusted(times: float, pixels: float) -> float:
    """How many times so many pixels count that would count so many times if they were few."""
    return 1 + (times - 1) / (1 + pixels / FEW)


def square(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(TINY.size, bool)
    mask[rows, columns] = True
    return mask


BLOCK = square(slice(4, 20), slice(8, 30))


def test_the_worth_of_a_region_is_what_was_learnt_however_many_of_its_pixels_enter(scene):
    one = torch.arange(4) == 1
    worth = float(scene[0].evidence(torch.tensor(float(BLOCK.sum())), "known", one).detach())
    worth *= trusted(TRUSTED_MORE, BLOCK.sum())  # the untrained model is as unsure as that
    for pixels in (7, 100, 10_000):
        entries = entered(scene, mask_truth(BLOCK, 1, 4), pixels=pixels, evidence=1.0)
        assert len(entries.weight) == min(pixels, BLOCK.sum())
        assert float(entries.weight.sum().detach()) == pytest.approx(worth, rel=1e-4)


@pytest.mark.parametrize(("doubt", "times"), [(0.75, TRUSTED_MORE), (2 * DOUBT, 4.0), (0.01, 1.0)])
def test_truth_counts_more_where_the_first_prediction_doubts_itself(scene, doubt, times):
    """By the square of the doubt: 4 times at twice the usual one; at the least once, at the most 30 times. If few."""
    model, linearised = scene
    held = held_at(linearised, 400)
    held = held._replace(base=torch.tensor([1 - doubt, *3 * [doubt / 3]]).log().expand_as(held.base))
    for mask in (square(slice(4, 5), slice(8, 9)), BLOCK):
        pixels = torch.tensor(float(mask.sum()))
        once = float(model.evidence(pixels, "known", torch.arange(4) == 1).detach())
        entries = entries_of(linearised, held, mask_truth(mask, 1, 4), model.evidence, RefinementConfig())
        assert float(entries.weight.sum().detach()) == pytest.approx(trusted(times, mask.sum()) * once, rel=1e-3)


@pytest.fixture
def within() -> torch.Tensor:
    """Of the pixels at which the first prediction is held, those of the block."""
    return torch.from_numpy(BLOCK)[tuple(lattice(TINY.size, RefinementConfig().held).T)]


def test_the_first_prediction_is_held_as_far_as_it_agrees_with_what_is_told(scene, within):
    (term,) = held(scene, mask_truth(BLOCK, 1, 4))
    first = term.base.softmax(1)
    expected = torch.where(within, first[:, 1], 1.0) * HOLD / len(within)
    torch.testing.assert_close(term.weight.detach(), expected.detach())
    torch.testing.assert_close(term.target, first)


def test_a_class_that_is_told_as_a_whole_is_held_within_and_ruled_out_beyond(scene, within):
    (term,) = held(scene, mask_truth(BLOCK, 1, 4, complete=True))
    torch.testing.assert_close(term.target[:, 1], within.float())
    assert float(term.misfit(term.base)[~within].abs().max()) < 1e-5
    assert float(term.misfit(term.base)[within].min()) > 0


def test_nothing_may_be_held(scene):
    assert held(scene, mask_truth(BLOCK, 1, 4), hold=0.0) == []


@pytest.mark.parametrize("energy", ["cross_entropy", "euclidean"])
@pytest.mark.parametrize("complete", [False, True])
def test_the_energy_is_the_sum_of_what_is_told_what_is_held_and_the_prior(scene, energy, complete):
    """However the sums are put together."""
    truth, code = mask_truth(BLOCK, 1, 4, complete), torch.full((TINY.code_size,), 0.3)
    with torch.no_grad():
        pixels, allowed, weight = entered(scene, truth)
        p = scene[1].logits_at(code, pixels).softmax(1)
        if energy == "cross_entropy":
            misfit = -(p * allowed).sum(1).log()
        else:
            q = p * allowed / (p * allowed).sum(1, keepdim=True)
            misfit = (p - q).square().sum(1)
        (beside,) = held(scene, truth)
        after = beside.logits(code).log_softmax(1)
        divergence = torch.nn.functional.kl_div(after, beside.target, reduction="none").sum(1)
        expected = weight @ misfit + beside.weight @ divergence + 0.5 * code.square().sum()
        assert posed(scene, truth, energy=energy).at(code).value == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("size", [(4, 6), (144, 192), (7, 300)])
def test_a_lattice_is_even(size):
    pixels = lattice(size, 24)
    assert len(pixels.unique(dim=0)) == len(pixels) == pytest.approx(24, rel=0.35)
    middle = (torch.tensor(size) - 1) / 2
    assert torch.allclose(pixels.float().mean(0), middle, atol=2)


def test_a_stroke_is_not_drowned_by_a_large_region(scene):
    stroke = square(slice(25, 26), slice(0, 3))
    entries = entered(scene, mask_truth(BLOCK, 1, 4) + mask_truth(stroke, 2, 4), pixels=20)
    assert entries.allowed[:, 2].sum() == 3


def test_evidence_is_a_factor(scene):
    once, thrice = (entered(scene, mask_truth(BLOCK, 1, 4), evidence=e).weight.sum() for e in (1.0, 3.0))
    assert float((thrice / once).detach()) == pytest.approx(3)


def test_no_truth_has_no_entries(scene):
    assert posed(scene, Truth.empty(TINY.size, 4)).told == 0


@pytest.mark.parametrize("complete", [False, True])
def test_what_was_learnt_gets_a_gradient(scene, complete):
    posed(scene, mask_truth(BLOCK, 1, 4, complete)).at(torch.zeros(TINY.code_size)).gradient.square().sum().backward()
    moved = scene[0].evidence.worth.grad.abs().sum(2) > 0
    expected = torch.zeros(4, 2, dtype=torch.bool)
    expected[1, list(START).index("known")] = True
    expected[1, list(START).index("excluded")] = complete
    assert torch.equal(moved, expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(1, 120))
def test_sums_over_the_drawn_stand_for_sums_over_all(seed, count, limit):
    """Exact for the chance itself; and never more than asked for."""
    chance = torch.rand(count, generator=torch.Generator().manual_seed(seed)) + 0.01
    drawn, share = draw(chance, limit)
    assert len(drawn) == min(count, limit)
    assert float((share * chance[drawn]).sum()) == pytest.approx(float(chance.sum()), rel=1e-4)
