"""Eq. 2 to 5: the training loss, every sum written as a mean over the known pixels.

The paper adds up over the pixels of a training image and weighs the KL term with W_k = 8. We take means, so the
weight is divided by a number of pixels; with one fixed number, `PAPER_PIXELS`, the balance of the two terms is the same
at every resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from segcode.batches import Labels, Logits, Uncertainty
from segcode.config import Count, NotNegative, Share
from segcode.model.segcode import Reconstruction
from segcode.resampling import nearest, resize
from segcode.tensors import IGNORE

PAPER_PIXELS = 256 * 512
"""The paper does not state its training resolution; 256 x 512 is a usual one for Cityscapes."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss.

    Args:
        reconstruction: weight of Eq. 4; the paper's is 1. Without it and the KL term the net is discriminative.
        kl_weight: W_k of Eq. 5, for sums over `PAPER_PIXELS` pixels.
        kl_warmup: share of the training, 0..1, over which W_k grows from 0, so that the code does not collapse.
        samples: T of Eq. 4.
        zero_code: weight of the cross-entropy of the initial prediction, the logits of zero code; the paper has none.
        balance: a class counts by the power -balance of its share of the batch, 0 as in the paper; at 1 all classes of
            a batch count the same.
    """

    reconstruction: NotNegative = 1.0
    kl_weight: NotNegative = 8.0
    kl_warmup: Share = 0.25
    samples: Count = 4
    zero_code: NotNegative = 0.0
    balance: Share = 0.0


class LossParts(NamedTuple):
    """The loss and its terms: total = reconstruction * segmentation + zero_code * initial + weight * kl."""

    total: Tensor
    segmentation: Tensor
    initial: Tensor
    kl: Tensor


def twice_kl(code: Normal) -> Float[Tensor, ""]:
    """Eq. 2 as printed: sum over the code of s - log s - 1 + mu^2, s the variance; mean over the batch.

    This is twice KL(N(mu, s) to N(0, I)) in nats: the paper leaves out the factor 1/2, and its W_k = 8 fits that.
    """
    return 2 * kl_divergence(code, Normal(0.0, 1.0)).sum(1).mean()


def pixel_weights(labels: Labels, balance: float) -> Float[Tensor, "B H W"]:
    """The weight of each pixel: 0 for void, 1 on average for the others, more for rare classes."""
    count = torch.bincount(labels.flatten().long(), minlength=IGNORE + 1)
    weight = count.clamp(min=1).float() ** -balance
    weight[IGNORE] = 0
    pixels = weight[labels.long()]
    return pixels * (labels != IGNORE).sum() / pixels.sum().clamp(min=1e-12)


def attenuated_cross_entropy(
    logits: Logits, uncertainty: Uncertainty, labels: Labels, samples: int, weight: Float[Tensor, "B H W"] | None = None
) -> Float[Tensor, ""]:
    """Eq. 3 and 4: -log 1/T sum_t softmax(S' + b eps_t)[label], mean over known pixels; the paper's sign is a slip.

    The noise eps_t is drawn for each class, pixel and sample. For b = 0 this is the cross-entropy. Void pixels have
    weight 0, the others 1, or that of `pixel_weights`; a batch of void alone has loss 0. Computed in float32 at every
    precision of the arguments.
    """
    logits, uncertainty = logits.float(), uncertainty.float()
    known = labels != IGNORE
    noisy = (logits + uncertainty * torch.randn_like(logits) for _ in range(samples))
    log_probability = -torch.stack([_misfit(each, labels) for each in noisy])
    likelihood = torch.logsumexp(log_probability, dim=0) - math.log(samples)
    return -(likelihood * (known if weight is None else weight)).sum() / known.sum().clamp(min=1)


def cross_entropy(logits: Logits, labels: Labels, weight: Float[Tensor, "B H W"] | None = None) -> Float[Tensor, ""]:
    """Mean cross-entropy over the known pixels, 0 where there are none, weighed as in `attenuated_cross_entropy`."""
    known = labels != IGNORE
    return (_misfit(logits, labels) * (known if weight is None else weight)).sum() / known.sum().clamp(min=1)


def _misfit(logits: Logits, labels: Labels) -> Float[Tensor, "B H W"]:
    """-log p of the label at each pixel, 0 where it is void."""
    return functional.cross_entropy(logits.float(), labels.long(), ignore_index=IGNORE, reduction="none")


def segcode_loss(output: Reconstruction, labels: Labels, config: LossConfig, progress: float) -> LossParts:
    """Eq. 5 at a point of the training, `progress` in 0..1."""
    small = nearest(labels, output.logits.shape[2:])  # the noise of Eq. 3 is of the logits as the network gives them
    pixels = pixel_weights(small, config.balance)
    segmentation = attenuated_cross_entropy(output.logits, output.uncertainty, small, config.samples, pixels)
    initial = cross_entropy(resize(output.base_logits, labels.shape[1:]), labels, pixel_weights(labels, config.balance))
    kl = twice_kl(output.code)
    weight = config.kl_weight / PAPER_PIXELS * min(1.0, progress / max(config.kl_warmup, 1e-9))
    total = config.reconstruction * segmentation + config.zero_code * initial + weight * kl
    return LossParts(total, segmentation, initial, kl)
