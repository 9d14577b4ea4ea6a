"""Stochastic segmentation network (Monteiro et al. 2020): a Gaussian of low rank over the logits of a whole image.

    logits = S0 + F w + d * e,    w ~ N(0, I) of a few numbers, e ~ N(0, I) for each pixel and class

The mean is the model's zero-code prediction S0; the factor F and the deviation d come from a head on its features. The
paper's head is one 1 x 1 convolution and its backbone learns with it. Here the backbone is frozen, so the head has a
hidden layer, and it sees the strides that the code path sees, not the last features alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn import functional

from segcode.evaluation.baselines.revealed import Revealed
from segcode.model.config import ModelConfig
from segcode.model.features import Backbone, Pyramid, resize_like
from segcode.refinement.config import RefinementConfig
from segcode.refinement.objective import AmongAllowed, Objective, Prior
from segcode.refinement.refiner import Refiner, solve
from segcode.tensors import IGNORE, Image, Labels, Logits
from segcode.truth.truth import Truth


class LowRank(NamedTuple):
    """The covariance F F^T + diag(d^2) of an image's logits."""

    factor: Float[Tensor, "B M rank H W"]
    deviation: Float[Tensor, "B M H W"]


class LowRankHead(nn.Module):
    """Features to F and d: two 1 x 1 convolutions, the first on all strides that the decoder sees."""

    def __init__(self, backbone: Backbone, config: ModelConfig, rank: int, hidden: int) -> None:
        super().__init__()
        self.rank = rank
        channels = dict(zip(backbone.strides, backbone.out_channels, strict=True))
        self.strides = [s for s in backbone.strides if s == 1 or s >= config.code_stride]
        # A 1 x 1 convolution of concatenated maps is the sum of one for each, before it is resampled: that costs less.
        self.inputs = nn.ModuleList(nn.Conv2d(channels[s], hidden, 1) for s in self.strides)
        self.output = nn.Conv2d(hidden, config.classes * (rank + 1), 1)

    def forward(self, features: Pyramid, chosen: Integer[Tensor, "n"] | None = None) -> LowRank:
        """F and d everywhere, or at chosen pixels, counted row by row, as maps (n, 1)."""
        maps = [layer(features[s]) for s, layer in zip(self.strides, self.inputs, strict=True)]
        x = torch.stack([resize_like(x, features[1]) for x in maps]).sum(0)
        if chosen is not None:
            x = at(x, chosen)
        out = self.output(functional.relu(x)).unflatten(1, (-1, self.rank + 1))
        return LowRank(out[:, :, 1:], functional.softplus(out[:, :, 0]))


def at(maps: Shaped[Tensor, "B *C H W"], chosen: Integer[Tensor, "n"]) -> Shaped[Tensor, "B *C n 1"]:
    """Values at chosen pixels, counted row by row."""
    return maps.flatten(-2)[..., chosen, None]


def ssn_loss(base: Logits, low_rank: LowRank, labels: Labels, samples: int) -> Float[Tensor, ""]:
    """-log 1/T sum_t prod_i p(label of pixel i | logits of draw t), a pixel, mean over the images (their Eq. 6).

    For the pixels of a whole image the product is so steep that the best draw alone counts: give some thousand that
    are drawn at random (`at`). Void pixels count nowhere.
    """
    factor, deviation = low_rank
    common = torch.randn(samples, len(labels), factor.shape[2], device=labels.device)
    logits = base + torch.einsum("bmrhw,tbr->tbmhw", factor, common)
    logits = logits + deviation * torch.randn_like(logits)
    misfit = functional.cross_entropy(
        logits.flatten(0, 1), labels.long().repeat(samples, 1, 1), ignore_index=IGNORE, reduction="none"
    )
    likelihood = -misfit.sum((1, 2)).unflatten(0, (samples, -1))
    return (math.log(samples) - torch.logsumexp(likelihood, 0)).mean() / labels[0].numel()


class SSN:
    """Conditioned on the revealed pixels: S0 + F w, w of the highest posterior density.

    d's noise is another for every pixel, tells nothing of the others, and stays at its mode 0.

    Args:
        head: trained on the features of the refiner's model.
        evidence: n revealed pixels count as evidence * n ** 0.5 independent ones.
    """

    name = "SSN"

    def __init__(self, head: LowRankHead, evidence: float = 1.0) -> None:
        self.head = head
        self.evidence = evidence

    @torch.no_grad()
    def begin(self, refiner: Refiner, image: Image) -> None:
        self._refiner = refiner
        self._factor = self.head.to(refiner.device)(refiner.features).factor[0]

    @torch.no_grad()
    def refine(self, truth: Truth) -> Float[Tensor, "M h w"]:
        revealed = Revealed.of(truth, self._refiner)
        base = self._refiner.linearised.base
        prior = Prior.standard(self.head.rank, base.device)
        told = AmongAllowed(
            base=revealed.at(base).T,
            jacobian=revealed.at(self._factor).permute(2, 0, 1),
            weight=revealed.worth(self.evidence),
            allowed=revealed.allowed,
        )
        drawn = solve(Objective((told,), prior, len(revealed)), prior.mean, RefinementConfig()).code
        return base + torch.einsum("mrhw,r->mhw", self._factor, drawn)
