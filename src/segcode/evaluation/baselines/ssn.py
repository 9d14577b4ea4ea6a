"""Stochastic segmentation network (Monteiro et al. 2020): a Gaussian of low rank over the logits of an image.

    logits = S0 + F w + d * e,    w ~ N(0, I) of a few numbers, e ~ N(0, I) for each pixel and class

The mean is the model's initial prediction S0; the factor F and the deviation d come from a head on its features. The
paper's head is one 1 x 1 convolution and its backbone learns with it. Here the backbone is frozen, so the head has a
hidden layer, and it sees the strides that the code path sees, not the last features alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer, Shaped
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from segcode.batches import Labels, Logits
from segcode.evaluation.baselines.labelled import linearised_by
from segcode.model.config import ModelConfig
from segcode.model.features import Backbone, Pyramid
from segcode.prediction import InitialPrediction
from segcode.refinement.code_path import optimise_code
from segcode.refinement.refiner import Refiner
from segcode.resampling import resize
from segcode.tensors import IGNORE, Image, Pixels
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
        self.strides = [s for s in backbone.strides if s == backbone.strides[-1] or s >= config.base_stride]
        # A 1 x 1 convolution of concatenated maps is the sum of one for each, before it is resampled: that costs less.
        self.inputs = nn.ModuleList(nn.Conv2d(channels[s], hidden, 1) for s in self.strides)
        self.output = nn.Conv2d(hidden, config.classes * (rank + 1), 1)

    def forward(self, features: Pyramid, chosen: Integer[Tensor, "n"] | None = None) -> LowRank:
        """F and d everywhere, or at chosen pixels, counted row by row, as maps (n, 1)."""
        maps = [layer(features[s]) for s, layer in zip(self.strides, self.inputs, strict=True)]
        x = torch.stack([resize(x, maps[-1].shape[-2:]) for x in maps]).sum(0)
        if chosen is not None:
            x = at(x, chosen)
        out = self.output(functional.relu(x)).unflatten(1, (-1, self.rank + 1))
        return LowRank(out[:, :, 1:], functional.softplus(out[:, :, 0]))


def at(maps: Shaped[Tensor, "B *C H W"], chosen: Integer[Tensor, "n"]) -> Shaped[Tensor, "B *C n 1"]:
    """Values at chosen pixels, counted row by row."""
    return maps.flatten(-2)[..., chosen, None]


def ssn_loss(base: Logits, low_rank: LowRank, labels: Labels, samples: int) -> Float[Tensor, ""]:
    """-log 1/T sum_t prod_i p(label of pixel i | logits of draw t), a pixel, mean over the images (their Eq. 6).

    For all pixels of an image the product is so steep that the best draw alone counts: give some thousand random ones
    (`at`). Void pixels count nowhere.
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


@dataclass(frozen=True)
class LowRankCode:
    """The Gaussian's low-rank part as a code path: logits = S0 + F w."""

    factor: Float[ndarray, "M rank h w"]

    @property
    def code_size(self) -> int:
        return self.factor.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        return self.factor.shape[2], self.factor.shape[3]

    def added(self, codes: Float[ndarray, "k rank"]) -> Float[ndarray, "k M h w"]:
        return np.einsum("mrhw,kr->kmhw", self.factor, codes)

    def jacobian(self, pixels: Pixels) -> Float[ndarray, "n M rank"]:
        return self.factor[:, :, pixels[:, 0], pixels[:, 1]].transpose(2, 0, 1)


class SSN:
    """Conditioned on the labelled cells: S0 + F w, w of the highest posterior density.

    The noise d e is independent for each pixel and says nothing of others: it stays at its mode 0.

    Args:
        head: trained on the features of the refiner's model.
        label_weight: of the likelihood of a labelled cell.
    """

    name = "SSN"

    def __init__(self, head: LowRankHead, label_weight: float) -> None:
        self.head = head
        self.label_weight = label_weight

    @torch.no_grad()
    def begin(self, refiner: Refiner, image: Image) -> None:
        linearised = linearised_by(refiner)
        factor = self.head.to(linearised.base_logits.device)(linearised.features).factor[0]
        # lambda sum_i e_i(F w) + |w|^2 / 2 is, but for a factor, sum_i e_i(lambda^(1/2) F v) + |v|^2 / 2
        scaled = LowRankCode(math.sqrt(self.label_weight) * factor.cpu().numpy())
        self._prediction = InitialPrediction(refiner.prediction.base_logits, code=scaled)

    def refine(self, truth: Truth) -> Float[ndarray, "M h w"]:
        return optimise_code(self._prediction, truth).logits
