"""Refinement inside the training: reveal a part of the labels, find the code from it, and judge the whole map.

Eq. 5 asks for a code that the whole label image gives, never for one that a few pixels give. An episode asks for that.
What it tells goes through the same objective as a user's truth, damped by the model's prior: Gauss-Newton steps find
the code, and the loss of the map is differentiated through their solves. The label encoder sees the same
truth, so it learns to propose a code for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from segcode.config import Count, NotNegative, Share
from segcode.errors import ConfigError
from segcode.model.features import Pyramid
from segcode.model.label_encoder import CodeDistribution
from segcode.model.segcode import SegCode
from segcode.refinement.config import RefinementConfig
from segcode.refinement.linearise import Linearised, linearise_at
from segcode.refinement.problem import Held, held_at, pose, prior_of
from segcode.tensors import IGNORE, Labels, Logits, Pixels
from segcode.truth.mask import label_truth, mask_truth
from segcode.truth.scribble import brush_mask
from segcode.truth.truth import Truth

KINDS: Final = ("part", "cut", "points", "negative", "complete", "everything", "clicks", "scribble")
"""Of truth that an episode may reveal, besides a class as a whole."""


@dataclass(frozen=True)
class EpisodeConfig:
    """How much of the training is refinement.

    Args:
        weight: of the refined maps' loss; the paper has none, and 0 leaves all of this out.
        proposal_weight: of the loss of the maps that the label encoder proposes, before the solve.
        revealed: what a revealed pixel counts in these losses, an unrevealed one counting 1: the truth stands in the
            output anyway.
        robustness: q of the losses (1 - p^q) / q, p the probability of the true class (Zhang and Sabuncu 2018): near 0
            the cross-entropy, at 1 the share of wrong pixels in expectation, so that gross mistakes rule less.
        images: of a batch, so many get episodes.
        each: episodes of an image, which share its linearisation.
        pixels: so many enter the solve.
        held: at so many of an image it holds the first prediction.
        judged: so many pixels of the refined map are.
        steps: Gauss-Newton steps.
        believed: probability that a class told as a whole is taken to be; else the solve has to do without that.
        part: probability that a box of the class's region is revealed instead of all of it.
        cut: probability that a straight line cuts the region, and one side of it is revealed, 10 to 70 % of it.
        points: probability that only a few pixels are revealed, 1 to 500, of one class or of all.
        clicks: probability that 1 to 20 small disks are revealed around pixels that zero code has wrong.
        scribble: probability that a stroke of one to three pixels' radius through the class's region is revealed.
        complete: probability that the mask of a whole region is said to be complete.
        negative: probability that a box is revealed not to be of the class.
        everything: probability that the whole label image is revealed.

    What is left of these probabilities is that of a class as a whole.

    Raises:
        ConfigError: if they add up to more than 1.
    """

    weight: NotNegative = 0.0
    proposal_weight: NotNegative = 0.3
    revealed: Share = 0.1
    robustness: Share = 0.7
    images: Count = 8
    each: Count = 2
    pixels: Count = 240
    held: Count = 150
    judged: Count = 3000
    steps: Count = 2
    believed: Share = 0.85
    part: Share = 0.06
    cut: Share = 0.09
    points: Share = 0.1
    clicks: Share = 0.2
    scribble: Share = 0.06
    complete: Share = 0.08
    negative: Share = 0.04
    everything: Share = 0.05

    def __post_init__(self) -> None:
        if sum(self.chances) > 1 + 1e-9:
            raise ConfigError(
                f"the probabilities of the kinds of episodes ({', '.join(KINDS)}) add up to {sum(self.chances):g}: "
                "1 is the most; lower some"
            )

    @property
    def chances(self) -> tuple[float, ...]:
        """The probability of each of `KINDS`."""
        return tuple(getattr(self, kind) for kind in KINDS)


class Episode(NamedTuple):
    """What is told of one image.

    Attributes:
        truth: the entries, on the training's grid.
        whole: the class that is told as a whole without being said to be; None for none.
    """

    truth: Truth
    whole: int | None = None


def play(labels: Labels, zero: Logits, config: EpisodeConfig) -> list[Episode]:
    """Episodes for the first images of a batch, those of an image side by side."""
    if config.weight == 0:
        return []
    called = zero.argmax(1).cpu()
    return [
        reveal(own, called[i], zero.shape[1], config)
        for i, own in enumerate(labels[: config.images].cpu())
        for _ in range(config.each)
    ]


def episode_loss(
    model: SegCode, features: Pyramid, zero: Logits, labels: Labels, episodes: Sequence[Episode], config: EpisodeConfig
) -> Tensor:
    """The weighed sum of two means over the episodes: the refined map's loss, and the proposal's.

    Args:
        model: what is trained.
        features: of the batch.
        zero: logits of zero code of the batch.
        labels: of the batch.
        episodes: as `play` gives them; the loss of none is 0.
        config: the weights.
    """
    if not episodes:
        return zero.new_zeros(())
    owner = torch.arange(len(episodes), device=zero.device) // config.each
    proposals = encode(model, features, zero, [episode.truth for episode in episodes], owner).mean.float()
    losses = []
    for i in range(0, len(episodes), config.each):
        image = i // config.each
        with torch.autocast(zero.device.type, enabled=False):  # the solve needs 32 bits
            linearised = linearise_at(model, {stride: f[image : image + 1].float() for stride, f in features.items()})
            held = held_at(linearised, config.held)
            for j in range(i, i + config.each):
                losses.append(_loss(model, linearised, held, labels[image], proposals[j], episodes[j], config))
    return torch.stack(losses).mean()


def encode(model: SegCode, features: Pyramid, zero: Logits, truths: Sequence[Truth], owner: Tensor) -> CodeDistribution:
    """What the label encoder makes of each truth, that of image `owner` of a batch."""
    known = torch.stack([truth.planes() for truth in truths]).to(zero.device)
    return model.label_encoder(known, zero[owner], {stride: feature[owner] for stride, feature in features.items()})


def _loss(
    model: SegCode,
    linearised: Linearised,
    held: Held,
    labels: Integer[Tensor, "H W"],
    proposal: Float[Tensor, "N"],
    episode: Episode,
    config: EpisodeConfig,
) -> Tensor:
    truth = episode.truth
    if episode.whole is not None and torch.rand(()) < config.believed:
        truth = truth.completed(torch.arange(len(linearised.base)) == episode.whole)
    code = refined(model, linearised, held, lambda: proposal, truth, config)
    known = (labels != IGNORE).nonzero()
    if len(known) == 0:
        return code.sum() * 0
    pixels = known[torch.randint(len(known), (config.judged,), device=known.device)]
    loss = config.weight * judge(linearised, code, truth, labels, pixels, config)
    return loss + config.proposal_weight * judge(linearised, proposal, truth, labels, pixels, config)


def refined(
    model: SegCode,
    linearised: Linearised,
    held: Held,
    propose: Callable[[], Float[Tensor, "N"]],
    truth: Truth,
    config: EpisodeConfig,
) -> Float[Tensor, "N"]:
    """The code of a truth after a few Gauss-Newton steps; gradients pass through."""
    prior = prior_of(model, truth, model.config.prior, propose)
    solving = replace(RefinementConfig(), pixels=config.pixels)
    objective = pose(linearised, held, truth, truth.complete(), prior, model.evidence, solving)
    code = prior.mean
    if objective.told:
        for _ in range(config.steps):
            here = objective.at(code)
            code = code - torch.linalg.solve(here.matrix(), here.gradient)
    return code


def judge(
    linearised: Linearised,
    code: Tensor,
    truth: Truth,
    labels: Integer[Tensor, "H W"],
    pixels: Pixels,
    config: EpisodeConfig,
) -> Tensor:
    """Mean loss of a code's map at pixels; known ones count `config.revealed`, classes that are ruled out are out."""
    known, not_of = (told.to(labels.device) for told in truth.at(pixels.cpu()))
    rows, columns = pixels.unbind(1)
    logits = linearised.logits_at(code, pixels).masked_fill(not_of, -torch.inf)
    weight = torch.where(known.any(1), config.revealed, 1.0)
    misfit = functional.cross_entropy(logits, labels[rows, columns].long(), reduction="none")
    if config.robustness > 0:
        misfit = -torch.expm1(-config.robustness * misfit) / config.robustness
    return (weight * misfit).sum() / weight.sum().clamp(min=1e-6)


def reveal(
    labels: Integer[Tensor, "H W"], called: Integer[Tensor, "H W"], classes: int, config: EpisodeConfig
) -> Episode:
    """Truth about one class of the image, drawn evenly from those present; or, now and then, about all.

    Args:
        labels: of the image.
        called: what zero code says.
        classes: M.
        config: how often which kind of truth.
    """
    present = labels[labels != IGNORE].unique()
    if len(present) == 0:
        return Episode(Truth.empty((labels.shape[0], labels.shape[1]), classes))
    told = int(present[torch.randint(len(present), ())])
    region = labels == told
    match (*KINDS, "whole")[int((torch.rand(()) > torch.tensor(config.chances).cumsum(0)).sum())]:
        case "part":
            return Episode(mask_truth(_boxed(region).numpy(), told, classes))
        case "cut":
            return Episode(mask_truth(_cut(region).numpy(), told, classes))
        case "points":
            if torch.rand(()) < 0.5:
                return Episode(mask_truth(_scattered(region).numpy(), told, classes))
            points = labels.masked_fill(~_scattered(labels != IGNORE), IGNORE)
            return Episode(label_truth(points.to(torch.uint8).numpy(), classes))
        case "negative":
            elsewhere = (labels != told) & (labels != IGNORE)
            return Episode(_not_of(_boxed(elsewhere) if elsewhere.any() else elsewhere, told, classes))
        case "complete":
            return Episode(mask_truth(region.numpy(), told, classes, complete=True))
        case "everything":
            return Episode(label_truth(labels.to(torch.uint8).numpy(), classes))
        case "clicks":
            return Episode(_click_truth(labels, called, classes))
        case "scribble":
            return Episode(mask_truth(_scribbled(region).numpy(), told, classes))
    return Episode(mask_truth(region.numpy(), told, classes), whole=told)


def in_turns(labels: Integer[Tensor, "H W"], called: Integer[Tensor, "H W"], turn: int, classes: int) -> Episode:
    """By turns a class as a whole, each class in its turn, and clicks where zero code is wrong; repeatable.

    In an image of one class there are clicks alone, for all of it would leave nothing to judge.
    """
    present = labels[labels != IGNORE].unique()
    if turn % 2 == 1 or len(present) < 2:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(turn)
            return Episode(_click_truth(labels, called, classes))
    told = int(present[turn // 2 % len(present)])
    return Episode(mask_truth((labels == told).numpy(), told, classes), whole=told)


def _not_of(mask: Bool[Tensor, "H W"], told: int, classes: int) -> Truth:
    pixels = mask.nonzero()
    allowed = (torch.arange(classes) != told).expand(len(pixels), -1)
    return Truth((mask.shape[0], mask.shape[1]), pixels, allowed, torch.ones(len(pixels)))


def _cut(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """One side of a straight line of any direction: as the nearer half of a road is told, or the left of a facade."""
    pixels = _in_line(region.nonzero())
    kept = pixels[: 1 + int(len(pixels) * (0.1 + 0.6 * float(torch.rand(()))))]
    side = torch.zeros_like(region)
    side[kept[:, 0], kept[:, 1]] = True
    return side


def _scribbled(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """A stroke through 2 to 4 pixels of a box of a region, as wide as 1 to 3 pixels' radius; it keeps to the region."""
    pixels = _boxed(region).nonzero()
    through = _in_line(pixels[torch.randperm(len(pixels))[: int(torch.randint(2, 5, ()))]])
    points = [(row, column) for row, column in through.tolist()]
    brush = brush_mask(points, (region.shape[0], region.shape[1]), radius=3 ** float(torch.rand(())))
    return region & torch.from_numpy(brush)


def _in_line(pixels: Pixels) -> Pixels:
    """Pixels in their order along a straight line of any direction."""
    angle = 2 * torch.pi * torch.rand(())
    return pixels[(pixels.float() @ torch.stack([angle.cos(), angle.sin()])).argsort()]


def _scattered(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """One to 500 pixels of a region, their number drawn evenly in its logarithm."""
    pixels = region.nonzero()
    count = round(500 ** float(torch.rand(())))
    chosen = pixels[torch.randperm(len(pixels))[:count]]
    points = torch.zeros_like(region)
    points[chosen[:, 0], chosen[:, 1]] = True
    return points


def _click_truth(labels: Integer[Tensor, "H W"], called: Integer[Tensor, "H W"], classes: int) -> Truth:
    """Disks of 1 to 3 pixels' radius around 1 to 20 wrong pixels, each of its class alone."""
    disks = torch.zeros_like(labels, dtype=torch.bool)
    wrong = ((labels != called) & (labels != IGNORE)).nonzero()
    rows, columns = (torch.arange(side) for side in labels.shape)
    for row, column in wrong[torch.randperm(len(wrong))[: round(20 ** float(torch.rand(())))]].tolist():
        radius = 3 ** float(torch.rand(()))
        near = ((rows - row) ** 2)[:, None] + (columns - column) ** 2 <= radius**2
        disks |= near & (labels == labels[row, column])
    return label_truth(labels.masked_fill(~disks, IGNORE).to(torch.uint8).numpy(), classes)


def _boxed(region: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """The part of a region in a box around one of its pixels; its sides are drawn evenly in their logarithm."""
    pixels = region.nonzero()
    centre = pixels[torch.randint(len(pixels), ())]
    half = [0.5 * side ** float(torch.rand(())) for side in region.shape]
    rows, columns = (torch.arange(side) for side in region.shape)
    inside = ((rows - centre[0]).abs() <= half[0])[:, None] & ((columns - centre[1]).abs() <= half[1])
    return region & inside
