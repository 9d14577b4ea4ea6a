from __future__ import annotations

import pytest
import torch

from segcode.model.config import ModelConfig
from segcode.model.evidence import Evidence

CONFIG = ModelConfig(classes=3, code_size=7, prior="learnt")


def told(*classes: int) -> torch.Tensor:
    return torch.isin(torch.arange(3), torch.tensor(classes, dtype=torch.long))


def test_truth_about_a_class_moves_its_own_waves_most():
    precision = Evidence(CONFIG).precision(told(1)).detach()
    own = torch.tensor([False, True, False, False, True, False, False])
    assert torch.allclose(precision[own], torch.ones(2))
    assert (precision[~own] > 5).all()


def test_what_two_classes_may_move_adds_up():
    evidence = Evidence(CONFIG)
    one, other, both = (1 / evidence.precision(told(*classes)).detach() for classes in ((0,), (2,), (0, 2)))
    assert torch.allclose(one + other, both)


@pytest.mark.parametrize("config", [ModelConfig(classes=3, code_size=7), CONFIG])
def test_without_truth_or_learnt_variances_the_precision_is_one(config):
    precision = Evidence(config).precision(told() if config.prior == "learnt" else told(1))
    assert torch.equal(precision, torch.ones(7))


def test_a_code_that_starts_at_random_is_as_free_for_every_class():
    evidence = Evidence(ModelConfig(classes=3, code_size=7, prior="learnt", code_start="random"))
    assert torch.equal(evidence.precision(told(1)).detach(), torch.ones(7))
