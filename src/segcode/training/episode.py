"""Refinement inside the training: reveal a part of the labels, find the code from it, and judge the whole map.

Eq. 5 asks for a code that the whole label image gives, never for one that a few pixels give. An episode asks for that:
its truth goes through the same `Objective` as a user's, two Gauss-Newton steps are taken from zero code, and the
cross-entropy of the map, known and unknown pixels alike, is differentiated through the solve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Integer
from torch import Tensor

from segcode.config import Count, NotNegative, Share
from segcode.loss import cross_entropy
from segcode.model.segcode import Reconstruction, SegCode
from segcode.refinement.config import RefinementConfig
from segcode.refinement.linearise import linearise_at
from segcode.refinement.refiner import objective_of
from segcode.tensors import IGNORE, Labels
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth


@dataclass(frozen=True)
class EpisodeConfig:
    """How much of the training is refinement.

    Args:
        weight: of the refined maps' cross-entropy in the loss; the paper has none.
        images: of a batch, so many get an episode, since each costs a linearisation.
        pixels: of the revealed ones, so many enter the solve.
        steps: Gauss-Newton steps.
        part: probability that a box of the class's region is revealed instead of all of it.
        complete: probability that the mask of a whole region is complete, so that the rest is not of the class.
    """

    weight: NotNegative = 0.0
    images: Count = 4
    pixels: Count = 128
    steps: Count = 2
    part: Share = 0.6
    complete: Share = 0.25


def episode_loss(model: SegCode, output: Reconstruction, labels: Labels, config: EpisodeConfig) -> Tensor:
    """Mean cross-entropy of the refined maps of the batch's first images; 0 if the weight is."""
    if config.weight == 0:
        return output.zero.new_zeros(())
    losses = [refined_loss(model, output, labels, i, config) for i in range(min(config.images, len(labels)))]
    return torch.stack(losses).mean()


def refined_loss(model: SegCode, output: Reconstruction, labels: Labels, index: int, config: EpisodeConfig) -> Tensor:
    """Cross-entropy of one image's map after an episode."""
    own = slice(index, index + 1)
    truth = reveal(labels[index].cpu(), model.config.classes, config)
    with torch.autocast(labels.device.type, enabled=False):  # the solve needs 32 bits
        features = {stride: feature[own].float() for stride, feature in output.features.items()}
        linearised = linearise_at(model, features)
        objective = objective_of(linearised, truth, replace(RefinementConfig(), pixels=config.pixels))
        code = linearised.base.new_zeros(model.config.code_size)
        for _ in range(config.steps):
            code = code - torch.linalg.solve(objective.matrix(code), objective.gradient(code))
        return cross_entropy(linearised.logits(code[None]), labels[own])


def reveal(labels: Integer[Tensor, "H W"], classes: int, config: EpisodeConfig) -> Truth:
    """Truth of one class of the image, drawn evenly from those present: all of its pixels, or those in a box."""
    present = labels[labels != IGNORE].unique()
    if len(present) == 0:
        return Truth.empty((labels.shape[0], labels.shape[1]), classes)
    chosen = int(present[torch.randint(len(present), ())])
    region = labels == chosen
    if torch.rand(()) < config.part:
        return mask_truth(_boxed(region).numpy(), chosen, classes)
    return mask_truth(region.numpy(), chosen, classes, complete=bool(torch.rand(()) < config.complete))


def _boxed(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """The part of a region in a box around one of its pixels; its sides are drawn evenly in their logarithm."""
    pixels = region.nonzero()
    centre = pixels[torch.randint(len(pixels), ())]
    half = [0.5 * side ** float(torch.rand(())) for side in region.shape]
    rows, columns = (torch.arange(side) for side in region.shape)
    inside = ((rows - centre[0]).abs() <= half[0])[:, None] & ((columns - centre[1]).abs() <= half[1])
    return region & inside
