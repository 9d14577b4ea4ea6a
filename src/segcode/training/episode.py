"""Refinement inside the training: reveal a part of the labels, find the code from it, and judge the whole map.

Eq. 5 asks for a code that the whole label image gives, never for one that a few pixels give. An episode asks for that:
its truth goes through the same objective as a user's, damped by the prior Gauss-Newton steps are taken from zero code,
and the cross-entropy of the map is differentiated through the solve. The label encoder sees the same truth in place of
the whole label image, so it learns to propose a code for it (Eq. 5 again), and whether a class is told as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from segcode.config import Count, NotNegative, Share
from segcode.model.label_encoder import known_labels
from segcode.model.segcode import Reconstruction, SegCode
from segcode.refinement.config import RefinementConfig
from segcode.refinement.linearise import linearise_at
from segcode.refinement.objective import Prior
from segcode.refinement.problem import pose
from segcode.tensors import IGNORE, Known, Labels
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth


@dataclass(frozen=True)
class EpisodeConfig:
    """How much of the training is refinement.

    Args:
        weight: of the refined maps' cross-entropy in the loss; the paper has none, and 0 leaves all of this out.
        whole_weight: of the loss of the belief that a class is told as a whole.
        revealed: what a revealed pixel counts in that cross-entropy, an unrevealed one counting 1: the truth stands in
            the output anyway.
        images: of a batch, so many get an episode, since each costs a linearisation.
        pixels: of those told, and again of those inferred, so many enter the solve.
        steps: Gauss-Newton steps.
        part: probability that a box of the class's region is revealed instead of all of it.
        cut: probability that a straight line cuts the region, and one side of it is revealed, 10 to 70 % of it.
        points: probability that only a few of its pixels are, 1 to 100.
        complete: probability that the mask of a whole region is said to be complete.
        negative: probability that a box is revealed not to be of the class.
    """

    weight: NotNegative = 0.0
    whole_weight: NotNegative = 0.1
    revealed: Share = 0.3
    images: Count = 4
    pixels: Count = 160
    steps: Count = 2
    part: Share = 0.15
    cut: Share = 0.2
    points: Share = 0.15
    complete: Share = 0.1
    negative: Share = 0.1


class Episode(NamedTuple):
    """What is told of one image.

    Attributes:
        truth: the entries, on the training's grid.
        whole: the class that they show as a whole without saying so, None for none.
        told: the class that they are about; None where the image has no label.
    """

    truth: Truth
    whole: int | None
    told: int | None


def play(labels: Labels, classes: int, config: EpisodeConfig) -> list[Episode]:
    """Episodes for the first images of a batch."""
    if config.weight == 0:
        return []
    return [reveal(own, classes, config) for own in labels[: config.images].cpu()]


def known_of(labels: Labels, episodes: Sequence[Episode], classes: int) -> Known:
    """The encoder's input: the whole label image, or what the image's episode tells."""
    known = known_labels(labels, classes)
    for i, episode in enumerate(episodes):
        known[i] = episode.truth.planes().to(known)
    return known


def episode_loss(
    model: SegCode, output: Reconstruction, labels: Labels, episodes: Sequence[Episode], config: EpisodeConfig
) -> Tensor:
    """Mean over the episodes of the refined map's cross-entropy and of the belief's; 0 for no episode."""
    if not episodes:
        return output.zero.new_zeros(())
    losses = [_loss(model, output, labels, i, episode, config) for i, episode in enumerate(episodes)]
    return torch.stack(losses).mean()


def _loss(
    model: SegCode, output: Reconstruction, labels: Labels, index: int, episode: Episode, config: EpisodeConfig
) -> Tensor:
    own = slice(index, index + 1)
    belief = output.encoding.whole[index].float()
    logits = refined(model, output, index, episode.truth, config)
    weight = (labels[own] != IGNORE).float()
    weight[0][episode.truth.revealed().to(weight.device)] *= config.revealed
    misfit = functional.cross_entropy(logits, labels[own].long(), ignore_index=IGNORE, reduction="none")
    loss = config.weight * (weight * misfit).sum() / weight.sum().clamp(min=1)
    if episode.told is None:
        return loss
    target = torch.tensor(float(episode.whole is not None), device=belief.device)
    return loss + config.whole_weight * functional.binary_cross_entropy_with_logits(belief[episode.told], target)


def refined(
    model: SegCode, output: Reconstruction, index: int, truth: Truth, config: EpisodeConfig
) -> Float[Tensor, "1 M H W"]:
    """The logits of one image of a batch after a few Gauss-Newton steps; gradients pass through."""
    with torch.autocast(output.zero.device.type, enabled=False):  # the solve needs 32 bits
        features = {stride: feature[index : index + 1].float() for stride, feature in output.features.items()}
        linearised = linearise_at(model, features)
        prior = Prior.standard(model.config.code_size, linearised.base.device)
        belief = output.encoding.whole[index].float().sigmoid()
        solving = replace(RefinementConfig(), pixels=config.pixels, belief=0.01)
        objective = pose(linearised, truth, prior, belief, model.evidence, solving)
        code = prior.mean
        if len(objective.base):
            for _ in range(config.steps):
                code = code - torch.linalg.solve(objective.matrix(code), objective.gradient(code))
        return linearised.logits(code[None])


def reveal(labels: Integer[Tensor, "H W"], classes: int, config: EpisodeConfig) -> Episode:
    """Truth about one class of the image, drawn evenly from those present."""
    present = labels[labels != IGNORE].unique()
    if len(present) == 0:
        return Episode(Truth.empty((labels.shape[0], labels.shape[1]), classes), None, None)
    told = int(present[torch.randint(len(present), ())])
    region = labels == told
    kinds = torch.tensor([config.part, config.cut, config.points, config.negative, config.complete])
    kind = int((torch.rand(()) > kinds.cumsum(0)).sum())
    if kind == 0:
        return Episode(mask_truth(_boxed(region).numpy(), told, classes), None, told)
    if kind == 1:
        return Episode(mask_truth(_cut(region).numpy(), told, classes), None, told)
    if kind == 2:
        return Episode(mask_truth(_scattered(region).numpy(), told, classes), None, told)
    if kind == 3:
        elsewhere = (labels != told) & (labels != IGNORE)
        return Episode(_not_of(_boxed(elsewhere) if elsewhere.any() else elsewhere, told, classes), None, None)
    if kind == 4:
        return Episode(mask_truth(region.numpy(), told, classes, complete=True), None, None)
    return Episode(mask_truth(region.numpy(), told, classes), told, told)


def whole_of(labels: Integer[Tensor, "H W"], turn: int, classes: int) -> Episode:
    """A class of the image as a whole, the classes that are present taking turns."""
    present = labels[labels != IGNORE].unique()
    if len(present) == 0:
        return Episode(Truth.empty((labels.shape[0], labels.shape[1]), classes), None, None)
    told = int(present[turn % len(present)])
    return Episode(mask_truth((labels == told).numpy(), told, classes), told, told)


def _not_of(mask: Bool[Tensor, "H W"], told: int, classes: int) -> Truth:
    pixels = mask.nonzero()
    allowed = (torch.arange(classes) != told).expand(len(pixels), -1)
    return Truth((mask.shape[0], mask.shape[1]), pixels, allowed, torch.ones(len(pixels)))


def _cut(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """One side of a straight line of any direction: as the nearer half of a road is told, or the left of a facade."""
    pixels = region.nonzero()
    angle = 2 * torch.pi * torch.rand(())
    along = pixels.float() @ torch.stack([angle.cos(), angle.sin()])
    shown = 1 + int(len(pixels) * (0.1 + 0.6 * float(torch.rand(()))))
    kept = pixels[along.argsort()[:shown]]
    side = torch.zeros_like(region)
    side[kept[:, 0], kept[:, 1]] = True
    return side


def _scattered(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """One to a hundred pixels of a region, their number drawn evenly in its logarithm."""
    pixels = region.nonzero()
    count = round(100 ** float(torch.rand(())))
    chosen = pixels[torch.randperm(len(pixels))[:count]]
    points = torch.zeros_like(region)
    points[chosen[:, 0], chosen[:, 1]] = True
    return points


def _boxed(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """The part of a region in a box around one of its pixels; its sides are drawn evenly in their logarithm."""
    pixels = region.nonzero()
    centre = pixels[torch.randint(len(pixels), ())]
    half = [0.5 * side ** float(torch.rand(())) for side in region.shape]
    rows, columns = (torch.arange(side) for side in region.shape)
    inside = ((rows - centre[0]).abs() <= half[0])[:, None] & ((columns - centre[1]).abs() <= half[1])
    return region & inside
