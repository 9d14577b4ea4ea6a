from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from segcode.errors import ConfigError
from segcode.refinement.linearise import linearise
from segcode.tensors import IGNORE
from segcode.training.episode import Episode, EpisodeConfig, encode, episode_loss, in_turns, judge, play, reveal
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth
from tiny import TINY

CONFIG = EpisodeConfig(weight=1.0, images=2, pixels=64, judged=500)


@pytest.fixture
def labels():
    return torch.randint(0, 4, (2, 4, 6)).repeat_interleave(8, 1).repeat_interleave(8, 2)


KINDS = ("whole", "part", "cut", "points", "clicks", "negative", "complete", "everything", "scribble")


def of_kind(kind: str) -> EpisodeConfig:
    return replace(CONFIG, **{name: float(name == kind) for name in KINDS if name != "whole"})


def revealed(labels, config, called=None) -> Episode:
    """An episode of an image, of which zero code says the same everywhere where nothing else is given."""
    return reveal(labels, torch.zeros_like(labels) if called is None else called, 4, config)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_revealed_is_true(labels, kind):
    for seed in range(10):
        torch.manual_seed(seed)
        truth = revealed(labels[0], of_kind(kind)).truth
        right = truth.allowed[torch.arange(len(truth)), labels[0][truth.pixels[:, 0], truth.pixels[:, 1]]]
        assert len(truth) > 0
        assert right.all()


def test_only_a_whole_class_is_taken_for_whole(labels):
    for seed in range(10):
        torch.manual_seed(seed)
        whole = revealed(labels[0], of_kind("whole"))
        assert len(whole.truth) == int((labels[0] == whole.whole).sum())
        assert all(revealed(labels[0], of_kind(kind)).whole is None for kind in KINDS if kind != "whole")


def test_parts_reveal_less_than_the_region(labels):
    torch.manual_seed(0)
    count = {kind: sum(len(revealed(labels[0], of_kind(kind)).truth) for _ in range(20)) for kind in KINDS}
    assert 0 < count["part"] < count["whole"] < count["everything"] == count["complete"]


def test_points_are_of_one_class_or_of_all(labels):
    classes = set()
    for seed in range(20):
        torch.manual_seed(seed)
        episode = revealed(labels[0], of_kind("points"))
        assert 1 <= len(episode.truth) <= 500
        classes.add(len(episode.truth.sets()))
    assert {1, 4} <= classes


def test_clicks_go_where_zero_code_is_wrong_and_tell_the_class_there(labels):
    called = labels[0].clone()
    called[8:24, 16:32] = (called[8:24, 16:32] + 1) % 4
    for seed in range(20):
        torch.manual_seed(seed)
        rows, columns = revealed(labels[0], of_kind("clicks"), called).truth.pixels.unbind(1)
        assert len(rows) <= 20 * 29
        near = torch.zeros_like(called, dtype=torch.bool)
        near[8 - 3 : 24 + 3, 16 - 3 : 32 + 3] = True
        assert near[rows, columns].all()
        assert (called[rows, columns] != labels[0][rows, columns]).any()
    assert len(revealed(labels[0], of_kind("clicks"), labels[0]).truth) == 0


def test_a_scribble_is_a_stroke():
    """Three lines at most, as long as the image is and seven pixels wide."""
    road = torch.zeros((128, 192), dtype=torch.long)
    for seed in range(20):
        torch.manual_seed(seed)
        assert 4 < len(revealed(road, of_kind("scribble")).truth) < 3 * 7 * (128**2 + 192**2) ** 0.5


def test_a_scribble_in_a_single_pixel_is_that_pixel():
    pole = torch.full((8, 8), IGNORE)
    pole[2, 5] = 3
    episode = revealed(pole, of_kind("scribble"))
    assert episode.truth.pixels.tolist() == [[2, 5]]
    assert episode.truth.allowed.tolist() == [[False, False, False, True]]


def test_an_image_of_void_reveals_nothing():
    void = torch.full((8, 8), IGNORE)
    assert all(len(revealed(void, config).truth) == 0 for config in (CONFIG, of_kind("clicks")))


def test_the_encoder_sees_each_truth_with_its_own_image(tiny_model, labels):
    tiny_model.eval()
    features = tiny_model.features(torch.rand(2, 3, *TINY.size))
    zero = tiny_model.decoder.base(features)
    truths = [episode.truth for episode in play(labels, zero, CONFIG)]
    together = encode(tiny_model, features, zero, truths, torch.tensor([0, 0, 1, 1]))
    last = {stride: feature[1:] for stride, feature in features.items()}
    alone = encode(tiny_model, last, zero[1:], truths[3:], torch.tensor([0]))
    assert torch.allclose(together.mean[3], alone.mean[0], atol=1e-4)


def test_the_map_is_judged_with_the_truth_standing_in_it(tiny_model):
    """Known pixels count as much as they are asked to, and a class that is ruled out cannot be wrong there."""
    linearised = linearise(tiny_model, torch.rand(1, 3, *TINY.size))
    labels = linearised.base.argmax(0)
    wrong = int(labels[0, 0])
    right = (wrong + 1) % 4
    labels = labels.masked_fill(labels == wrong, right)
    everywhere = (labels != IGNORE).nonzero()
    mask = torch.zeros(TINY.size, dtype=torch.bool)
    mask[:4] = labels[:4] == right

    def loss(complete: bool, revealed: float) -> float:
        truth = mask_truth((labels == right).numpy() if complete else mask.numpy(), right, 4, complete)
        code = torch.zeros(TINY.code_size)
        config = replace(CONFIG, revealed=revealed, robustness=0.0)
        return float(judge(linearised, code, truth, labels, everywhere, config).detach())

    hidden = everywhere[~mask.flatten()]
    assert loss(False, 0.0) == pytest.approx(
        float(
            torch.nn.functional.cross_entropy(linearised.base_at(hidden), labels[hidden[:, 0], hidden[:, 1]]).detach()
        ),
        rel=1e-4,
    )
    assert loss(True, 0.0) < loss(False, 0.0)


@pytest.mark.parametrize("robustness", [0.0, 1e-3, 1.0])
def test_the_loss_lies_between_cross_entropy_and_the_share_of_wrong_pixels(tiny_model, robustness):
    linearised = linearise(tiny_model, torch.rand(1, 3, *TINY.size))
    labels = torch.randint(0, 4, TINY.size)
    everywhere = (labels != IGNORE).nonzero()
    config = replace(CONFIG, robustness=robustness)
    code, truth = torch.zeros(TINY.code_size), Truth.empty(TINY.size, 4)
    loss = float(judge(linearised, code, truth, labels, everywhere, config).detach())
    probability = linearised.base.softmax(0).gather(0, labels[None])
    expected = {0.0: -probability.log(), 1.0: 1 - probability, 1e-3: -probability.log()}[robustness]
    assert loss == pytest.approx(float(expected.mean().detach()), rel=2e-3)


def run(model, labels, config=CONFIG):
    features = model.features(torch.rand(len(labels), 3, *TINY.size))
    zero = model.decoder.base(features)
    return episode_loss(model, features, zero, labels, play(labels, zero, config), config)


def test_the_solve_can_be_trained_through(tiny_model, labels):
    torch.manual_seed(0)
    run(tiny_model, labels, of_kind("whole")).backward()
    for name in (
        "decoder.grid.weight",
        "decoder.of_code.last.gate.weight",
        "features.stem.0.weight",
        "evidence.worth",
        "label_encoder.mean.weight",
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
        loss = run(tiny_model, labels, of_kind("whole"))
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
def test_validation_tells_classes_and_clicks_in_turns(turn):
    labels = torch.tensor([[0, 0, 2], [2, 3, IGNORE]])
    called = torch.zeros_like(labels)
    assert in_turns(labels, called, 2 * turn, 4).whole == [0, 2, 3][turn % 3]
    clicks, again = (in_turns(labels, called, 2 * turn + 1, 4) for _ in range(2))
    assert clicks.whole is None
    assert torch.equal(clicks.truth.pixels, again.truth.pixels)


def test_an_image_of_one_class_leaves_pixels_to_judge():
    road = torch.zeros(32, 48, dtype=torch.long)
    clicks = in_turns(road, torch.ones_like(road), 0, 4)
    assert clicks.whole is None
    assert 0 < len(clicks.truth) < road.numel()


def test_probabilities_of_kinds_are_at_most_one_together():
    with pytest.raises(ConfigError, match=r"part, cut, .* add up to 1\.\d+: 1 is the most"):
        EpisodeConfig(everything=0.99)
