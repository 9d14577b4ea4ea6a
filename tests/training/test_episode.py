from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from conftest import TINY
from segcode.model.label_encoder import known_labels
from segcode.tensors import IGNORE
from segcode.training.episode import EpisodeConfig, episode_loss, known_of, play, reveal, whole_of

CONFIG = EpisodeConfig(weight=1.0, images=2, pixels=64)


@pytest.fixture
def labels():
    return torch.randint(0, 4, (2, 4, 6)).repeat_interleave(8, 1).repeat_interleave(8, 2)


KINDS = {
    "whole": {},
    "part": {"part": 1.0},
    "cut": {"cut": 1.0},
    "points": {"points": 1.0},
    "negative": {"negative": 1.0},
    "complete": {"complete": 1.0},
}


def of_kind(kind: str) -> EpisodeConfig:
    nothing = replace(CONFIG, part=0.0, cut=0.0, points=0.0, negative=0.0, complete=0.0)
    return replace(nothing, **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_revealed_is_true(labels, kind):
    for seed in range(10):
        torch.manual_seed(seed)
        truth = reveal(labels[0], 4, of_kind(kind)).truth
        right = truth.allowed[torch.arange(len(truth)), labels[0][truth.pixels[:, 0], truth.pixels[:, 1]]]
        assert len(truth) > 0
        assert right.all()


def test_only_a_whole_class_is_to_be_believed_whole(labels):
    for seed in range(10):
        torch.manual_seed(seed)
        whole = reveal(labels[0], 4, of_kind("whole"))
        assert whole.whole == whole.told
        assert len(whole.truth) == int((labels[0] == whole.told).sum())
        for kind in ("part", "cut", "points"):
            part = reveal(labels[0], 4, of_kind(kind))
            assert part.whole is None
            assert part.told is not None


def test_parts_reveal_less_than_the_region(labels):
    torch.manual_seed(0)
    count = {kind: sum(len(reveal(labels[0], 4, of_kind(kind)).truth) for _ in range(20)) for kind in KINDS}
    assert 0 < count["points"] < count["part"] < count["whole"] < count["complete"]


def test_an_image_of_void_reveals_nothing():
    assert len(reveal(torch.full((8, 8), IGNORE), 4, CONFIG).truth) == 0


def test_the_encoder_sees_what_the_episode_tells_and_else_all(labels):
    torch.manual_seed(0)
    played = play(labels, 4, replace(of_kind("points"), images=1))
    known = known_of(labels, played, 4)
    assert torch.equal(known[0], played[0].truth.planes())
    assert torch.equal(known[1], known_labels(labels, 4)[1])


def run(model, labels, config=CONFIG):
    played = play(labels, 4, config)
    torch.manual_seed(1)
    output = model(torch.rand(len(labels), 3, *TINY.size), known_of(labels, played, 4))
    return episode_loss(model, output, labels, played, config)


def test_the_solve_can_be_trained_through(tiny_model, labels):
    torch.manual_seed(0)
    run(tiny_model, labels, of_kind("whole")).backward()
    for name in (
        "decoder.grid.weight",
        "decoder.last.gate.weight",
        "features.stem.0.weight",
        "evidence.known",
        "evidence.excluded",
        "label_encoder.coverage",
    ):
        gradient = tiny_model.get_parameter(name).grad
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


def test_episodes_run_in_half_precision(tiny_model, labels):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = run(tiny_model, labels)
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_training_lowers_the_loss_of_episodes(tiny_model, labels):
    optimiser = torch.optim.Adam(tiny_model.decoder.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        torch.manual_seed(0)  # the same episode each time
        loss = run(tiny_model, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_an_image_of_void_costs_nothing(tiny_model):
    assert run(tiny_model, torch.full((1, *TINY.size), IGNORE)) == 0


def test_weight_zero_is_the_papers_training(tiny_model, labels):
    assert run(tiny_model, labels, EpisodeConfig()) == 0


@pytest.mark.parametrize("turn", range(5))
def test_validation_tells_the_classes_in_turns(turn):
    labels = torch.tensor([[0, 0, 2], [2, 3, IGNORE]])
    assert whole_of(labels, turn, 4).told == [0, 2, 3][turn % 3]
