"""The map that a user gets, and the one by the plain way: J by unit codes, every solve to the last digit, arg-max."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from segcode.evaluation.clicks import largest_error, middle
from segcode.model.checkpoint import load_model
from segcode.model.label_encoder import known_labels
from segcode.refinement.config import RefinementConfig, Stopping
from segcode.refinement.levenberg_marquardt import levenberg_marquardt
from segcode.refinement.linearise import Linearised
from segcode.refinement.problem import held_at, pose, prior_of
from segcode.refinement.refiner import Refiner
from segcode.streets.streets import Streets
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth


class Plain(Linearised):
    """Every unit code through the decoder, and of its maps the asked-for pixels."""

    def jacobian(self, pixels: torch.Tensor) -> torch.Tensor:
        units = self.decoder.linear(self.features, torch.eye(self.decoder.grid.in_features))
        return units[:, :, pixels[:, 0], pixels[:, 1]].permute(2, 1, 0)


def plain_refinement(refiner: Refiner, truth: Truth) -> np.ndarray:
    model, config = refiner.model, replace(RefinementConfig(), infer_whole=False)
    fast = refiner.linearised
    linearised = Plain(fast.base, fast.features, fast.decoder, fast.uncertainty)
    small = truth.resized(linearised.size)
    prior = prior_of(model, small, model.config.prior, lambda: refiner.propose(truth).code)
    held, whole = held_at(linearised, config.held), small.complete()
    objective = pose(linearised, held, small, whole, prior, model.evidence, config)
    code = levenberg_marquardt(objective, prior.mean, Stopping(200, 1e-9)).code
    logits = linearised.base[None] + model.decoder.linear(linearised.features, code[None])
    return functional.interpolate(logits, truth.size, mode="bilinear").argmax(1)[0].numpy()


@pytest.mark.parametrize("index", range(4))
def test_the_fast_way_gives_the_same_map(index):
    """On at least 99.99 % of the pixels."""
    street = Streets(index + 1, seed=11, height=240, width=320)[index]
    refiner = Refiner(load_model("streets").model)
    wrong = largest_error(refiner.set_image(street.image).labels, street.labels)
    assert wrong is not None
    row, column = middle(wrong)
    rows, columns = np.indices(wrong.shape)
    stroke = wrong & (np.hypot(rows - row, columns - column) <= 9)
    truth = mask_truth(stroke & (street.labels == street.labels[row, column]), int(street.labels[row, column]), 11)
    with torch.no_grad():
        expected = plain_refinement(refiner, truth)
    refined = refiner.refine(truth)
    assert not refined.ruled_out.any()
    assert refined.solution.steps > 0
    assert (refined.labels == expected).mean() >= 0.9999


def test_a_proposal_is_the_label_encoders_whatever_was_told_before():
    """Nothing of one truth is left in the next."""
    street = Streets(1, seed=12, height=120, width=160)[0]
    refiner = Refiner(load_model("streets").model)
    refiner.set_image(street.image)
    refiner.encode(street.labels)
    map_ = refiner.propose(Truth.empty((120, 160), 11))
    assert not np.any(map_.logits.numpy() != refiner.linearised.base.numpy())
    known = known_labels(torch.from_numpy(street.labels)[None].long(), 11)
    with torch.no_grad():
        code = refiner.model.label_encoder(known, refiner.linearised.base[None], refiner.features).mean
    assert np.array_equal(refiner.encode(street.labels).labels, refiner.decode(code[0]).labels)
