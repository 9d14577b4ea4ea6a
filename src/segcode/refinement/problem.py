"""From truth about an image to the objective of its code: which pixels enter, and what each of them counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from segcode.model.evidence import Evidence
from segcode.model.segcode import SegCode
from segcode.refinement.config import RefinementConfig
from segcode.refinement.linearise import Linearised
from segcode.refinement.objective import NEGLIGIBLE, AmongAllowed, Divergence, EuclideanDistance, Objective, Prior, Term
from segcode.tensors import AllowedClasses, Pixels
from segcode.truth.truth import Truth

RARE = 1e-3
"""Added to probabilities, so that no pixel has no chance to be drawn."""

DOUBT = 0.06
"""How far a first prediction is from sure, a pixel, where the worth of truth was chosen: `camvid` on CamVid val."""

TRUSTED_MORE = 30.0
"""Truth counts more about an image of which the first prediction is less sure, so many times at the most."""

FEW = 100.0
"""Pixels of which half of that is left: a thousand mostly confirm the first prediction, however unsure it is."""

OUT = -1e4
"""The logit of a class that is ruled out: its probability is 0, and all sums stay finite."""


class Held(NamedTuple):
    """An even lattice of an image's pixels, with S0 and J there: they serve all truths about the image.

    Attributes:
        pixels: of the lattice.
        base: S0.
        jacobian: J.
        curvature: of their divergence from S0 while nothing is told, a pixel counting 1; for searches alone.
    """

    pixels: Pixels
    base: Float[Tensor, "k M"]
    jacobian: Float[Tensor, "k M N"]
    curvature: Float[Tensor, "N N"] | None = None

    def doubt(self) -> Float[Tensor, ""]:
        """How far the first prediction is from sure, 0..1: the mean of 1 - p of the class that it calls a pixel."""
        return 1 - self.base.softmax(1).amax(1).mean()

    def curved(self) -> Held:
        """With the curvature, roughly, which makes a solve shorter."""
        every = torch.ones(len(self.pixels), device=self.base.device)
        divergence = Divergence(self.base, self.jacobian, every, self.base.softmax(1))
        return self._replace(curvature=divergence.curvature(self.base, NEGLIGIBLE))


class Entries(NamedTuple):
    """Pixels, the classes that each may be of, and what each counts."""

    pixels: Pixels
    allowed: AllowedClasses
    weight: Float[Tensor, "n"]


def prior_of(
    model: SegCode,
    truth: Truth,
    kind: Literal["standard", "learnt", "encoder"],
    propose: Callable[[], Float[Tensor, "N"]],
) -> Prior:
    """N(0, I); or with the variances that truth about these classes has learnt, around 0 or the encoder's proposal."""
    device = model.evidence.worth.device
    if kind == "standard":
        return Prior.standard(model.config.code_size, device)
    known, not_of = truth.told
    precision = model.evidence.precision((known | not_of).to(device))
    return Prior(propose() if kind == "encoder" else torch.zeros_like(precision), precision)


def pose(
    linearised: Linearised,
    held: Held,
    truth: Truth,
    whole: Bool[Tensor, "M"],
    prior: Prior,
    evidence: Evidence,
    config: RefinementConfig,
) -> Objective:
    """The energy of truth on the image's own grid; gradients pass through all that was learnt.

    Args:
        linearised: the image.
        held: where its first prediction is held.
        truth: what is known, on the grid of `linearised`.
        whole: the classes of which it tells all; on the CPU, as it is.
        prior: of the code.
        evidence: what so many pixels are worth together, and the first prediction.
        config: how many pixels enter, and how far to trust them.
    """
    pixels, allowed, weight = entries_of(linearised, held, truth, evidence, config)
    base, jacobian = linearised.base_at(pixels), linearised.jacobian(pixels)
    allowed, weight = allowed.to(base.device), weight.to(base.device)
    first = hold(held, truth, whole, evidence, config)
    if config.energy == "euclidean":
        terms: list[Term] = [EuclideanDistance(base, jacobian, weight, allowed), *first]
    else:
        known = slice(int((allowed.sum(1) == 1).sum()))
        others = slice(known.stop, None)
        at_known = Divergence(base[known], jacobian[known], weight[known], allowed[known].to(base.dtype))
        among = AmongAllowed(base[others], jacobian[others], weight[others], allowed[others])
        terms = [at_known, *first, among]
    return Objective(tuple(term for term in terms if len(term.weight)), prior, len(pixels))


def entries_of(
    linearised: Linearised, held: Held, truth: Truth, evidence: Evidence, config: RefinementConfig
) -> Entries:
    """What of a truth enters, on the CPU: pixels of which the class is known come first.

    For each set of classes so many of its pixels enter that all sets have `config.pixels` together. "Not road" matters
    where zero code sees road, so there such entries are taken more often, and count less each.

    On images unlike those of the training the first prediction errs more, and doubts itself more. A few pixels of them
    count more, by the square of that doubt.
    """
    sets = sorted(truth.sets(), key=lambda entries: int(truth.allowed[entries[0]].sum()) > 1)
    doubted = (held.doubt().detach().cpu() / DOUBT).square().clamp(1.0, TRUSTED_MORE)
    parts = [Entries(truth.pixels[:0], truth.allowed[:0], truth.weight[:0])]
    for entries in sets:
        pixels, allowed, weight = truth.pixels[entries], truth.allowed[entries], truth.weight[entries]
        if weight.sum() == 0:
            continue
        if allowed[0].sum() == 1:
            chance, worth = weight, evidence(weight.sum(), "known", allowed[0]).cpu()
        else:
            chance = weight * (excluded_mass(linearised, pixels, allowed[0]) + RARE)
            worth = evidence(weight.sum(), "excluded", ~allowed[0]).cpu()
        worth = config.evidence * worth * (1 + (doubted - 1) / (1 + weight.sum() / FEW))
        drawn, share = draw(chance, config.pixels // len(sets))
        parts.append(Entries(pixels[drawn], allowed[drawn], worth * share * weight[drawn] / weight.sum()))
    return Entries(*(torch.cat(column) for column in zip(*parts, strict=True)))


def held_at(linearised: Linearised, count: int) -> Held:
    """About `count` pixels of an image."""
    pixels = lattice(linearised.size, count)
    return Held(pixels, linearised.base_at(pixels), linearised.jacobian(pixels))


def hold(
    held: Held, truth: Truth, whole: Bool[Tensor, "M"], evidence: Evidence, config: RefinementConfig
) -> list[Divergence]:
    """The first prediction, as far as the truth leaves it: none where `hold` is 0.

    Classes that are ruled out are out, and where the class is known it is held by the probability that it gives to it.
    Of a class that is told as a whole it is sharpened there: else what pushes that class down beyond its edge would
    win within.
    """
    if config.hold == 0:
        return []
    known, not_of = truth.at(held.pixels)
    of_whole = known & whole
    known, not_of, of_whole = (told.to(held.base.device) for told in (known, not_of, of_whole))
    base = held.base.masked_fill(not_of, OUT)
    first = base.softmax(1)
    agrees = torch.where(known.any(1), (first * known).sum(1), 1.0)
    target = torch.where(of_whole.any(1, keepdim=True), of_whole.to(first.dtype), first)
    each = config.hold * evidence.hold() / len(held.pixels)
    known_before = None if held.curvature is None else each * held.curvature
    return [Divergence(base, held.jacobian, each * agrees, target, known_before)]


def lattice(size: tuple[int, int], count: int) -> Pixels:
    """About so many pixels, as far from each other as from the edges."""
    spacing = math.sqrt(math.prod(size) / count)

    def places(side: int) -> Tensor:
        lines = max(1, round(side / spacing))
        return ((torch.arange(lines) + 0.5) * side / lines).long()

    return torch.cartesian_prod(places(size[0]), places(size[1]))


def excluded_mass(linearised: Linearised, pixels: Pixels, allowed: Bool[Tensor, "M"]) -> Float[Tensor, "n"]:
    """The probability that zero code gives to classes that a pixel is not of."""
    probability = linearised.base_at(pixels).detach().softmax(1).cpu()
    return probability[:, ~allowed].sum(1)


def draw(chance: Float[Tensor, "n"], limit: int) -> tuple[Integer[Tensor, "m"], Float[Tensor, "m"]]:
    """At most `limit` of n entries by their chance, repeatably, and what each then stands for.

    Systematic sampling of a shuffled list (Madow 1949): sums over the drawn, weighed so, are unbiased for sums over
    all. An entry may be drawn more than once.
    """
    if len(chance) <= limit:
        return torch.arange(len(chance)), torch.ones(len(chance))
    order = torch.randperm(len(chance), generator=torch.Generator().manual_seed(0))
    sums = chance[order].double().cumsum(0)
    places = (torch.arange(limit, dtype=torch.double) + 0.5) * sums[-1] / limit
    drawn = order[torch.searchsorted(sums, places).clamp(max=len(order) - 1)]
    return drawn, (sums[-1] / (limit * chance[drawn])).float()
