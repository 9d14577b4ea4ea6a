from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from conftest import TINY
from segcode.loss import cross_entropy
from segcode.tensors import IGNORE
from segcode.training.episode import EpisodeConfig, episode_loss, reveal

CONFIG = EpisodeConfig(weight=1.0, images=2, pixels=64)


@pytest.fixture
def labels():
    return torch.randint(0, 4, (2, 4, 6)).repeat_interleave(8, 1).repeat_interleave(8, 2)


@pytest.mark.parametrize("part", [0.0, 1.0])
def test_what_is_revealed_is_true(labels, part):
    for seed in range(10):
        torch.manual_seed(seed)
        truth = reveal(labels[0], 4, replace(CONFIG, part=part, complete=0.5))
        right = truth.allowed[torch.arange(len(truth)), labels[0][truth.pixels[:, 0], truth.pixels[:, 1]]]
        assert len(truth) > 0
        assert right.all()


def test_a_box_reveals_less_than_the_region(labels):
    torch.manual_seed(0)
    whole, parts = (
        sum(len(reveal(labels[0], 4, replace(CONFIG, part=part, complete=0.0))) for _ in range(20))
        for part in (0.0, 1.0)
    )
    assert 0 < parts < whole


def test_an_image_of_void_reveals_nothing():
    assert len(reveal(torch.full((8, 8), IGNORE), 4, CONFIG)) == 0


def test_the_solve_can_be_trained_through(tiny_model, labels):
    torch.manual_seed(0)
    output = tiny_model(torch.rand(2, 3, *TINY.size), labels)
    episode_loss(tiny_model, output, labels, CONFIG).backward()
    for name in ("decoder.grid.weight", "decoder.last.gate.weight", "features.stem.0.weight"):
        gradient = tiny_model.get_parameter(name).grad
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


def test_episodes_run_in_half_precision(tiny_model, labels):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = tiny_model(torch.rand(2, 3, *TINY.size), labels)
        loss = episode_loss(tiny_model, output, labels, CONFIG)
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_a_step_of_training_lowers_the_loss_of_episodes(tiny_model, labels):
    image = torch.rand(2, 3, *TINY.size)
    optimiser = torch.optim.Adam(tiny_model.decoder.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        torch.manual_seed(0)  # the same episode each time
        loss = episode_loss(tiny_model, tiny_model(image, labels), labels, CONFIG)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_without_truth_the_map_is_that_of_zero_code(tiny_model):
    void = torch.full((1, *TINY.size), IGNORE)
    labels = void.clone()
    labels[0, 0, 0] = 1
    output = tiny_model(torch.rand(1, 3, *TINY.size), labels)
    assert episode_loss(tiny_model, output, void, CONFIG) == 0
    assert cross_entropy(output.zero, labels) > 0


def test_weight_zero_is_the_papers_training(tiny_model, labels):
    output = tiny_model(torch.rand(2, 3, *TINY.size), labels)
    assert episode_loss(tiny_model, output, labels, EpisodeConfig()) == 0
