"""q(c | known labels, image): a diagonal Gaussian of the code (Fig. 2, bottom left).

The paper's encoder sees the labels of all pixels. Ours accepts any part of them, so that it can encode a few pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from segcode.batches import Code, Known, Labels, Logits
from segcode.model.config import ModelConfig
from segcode.model.features import Backbone, Pyramid, convolution
from segcode.resampling import pooled, resize
from segcode.tensors import IGNORE

STEPS: Final = 2
"""Steps up the gradient."""

START: Final = 100.0
"""Length of a step before training, for the mean log-likelihood of a cell: the longest tried that lowers the error."""


def one_hot(labels: Labels, classes: int) -> Tensor:
    """Labels (B, H, W) as (B, M, H, W) in 0 and 1; void pixels are all zero."""
    void = labels == IGNORE
    hot = functional.one_hot(labels.long().masked_fill(void, 0), classes).permute(0, 3, 1, 2)
    return hot.float() * ~void[:, None]


def known_labels(labels: Labels, classes: int) -> Known:
    """A label image as the encoder's input; void is unknown."""
    hot = one_hot(labels, classes)
    return torch.cat([hot, torch.zeros_like(hot)], dim=1)


def diagonal_gaussian(mean: Tensor, log_variance: Tensor) -> Normal:
    """N(mean, exp(log_variance)) in 32 bits, number by number; the log-variance is held in -10..10."""
    # Beyond e^-10 and e^10 the variance says nothing more, and its exponent leaves half precision.
    deviation = (0.5 * log_variance.float().clamp(-10.0, 10.0)).exp()
    return Normal(mean.float(), deviation, validate_args=False)  # validation would wait for a GPU


class LabelEncoder(nn.Module):
    """Stride-2 convolutions over the known labels, with image features of the same resolution at every level.

    It also sees the initial prediction, because the code describes what that has wrong. The last level is pooled to a
    fixed grid, so that the fully connected layers fit images of any size. Without known labels the code is N(0, I).

    The mean of the code may also be found by a few steps up the gradient of the likelihood of the labels, each times a
    learnt matrix (iterative amortised inference, Marino et al. 2018).
    """

    def __init__(self, backbone: Backbone, config: ModelConfig) -> None:
        super().__init__()
        self.strides = backbone.strides[::-1]  # fine to coarse
        channels = backbone.out_channels[::-1]
        inputs = (3 * config.classes, *channels[1:])
        self.down = nn.ModuleList(
            convolution(x + f, coarser, stride=2)
            for x, f, coarser in zip(inputs[:-1], channels[:-1], channels[1:], strict=True)
        )
        self.last = convolution(inputs[-1] + channels[-1], config.code_channels)
        self.pool = nn.AdaptiveAvgPool2d(config.code_grid)
        flat = config.code_channels * config.code_grid[0] * config.code_grid[1]
        self.code_size = config.code_size
        if config.encoder_mean == "network":
            self.mean: nn.Module = nn.Linear(flat, config.code_size)
        else:
            self.mean = nn.ModuleList(_step(config.code_size) for _ in range(STEPS))
        self.log_variance = nn.Linear(flat, config.code_size)

    def forward(
        self,
        known: Known,
        base_logits: Float[Tensor, "B M h w"],
        features: Pyramid,
        linear: Callable[[Pyramid, Code], Logits],
    ) -> Normal:
        """The distribution (B, N) of the code, given known labels, initial prediction and features of images.

        Args:
            known: labels, (B, 2 M, H, W).
            base_logits: S0.
            features: that the code is conditioned on.
            linear: features and codes (B, N) to J c (B, M, h, w).
        """
        labels = pooled(known, base_logits.shape[2:])
        x = torch.cat([labels, base_logits.detach().float().softmax(1)], dim=1)
        for stride, layer in zip(self.strides, (*self.down, self.last), strict=True):
            f = features[stride]
            x = layer(torch.cat([pooled(x, f.shape[2:]), f], dim=1))
        x = self.pool(x).flatten(1)
        if isinstance(self.mean, nn.ModuleList):
            with torch.inference_mode(False):  # tensors of that mode have no gradient: copies do
                seen = {stride: feature.detach().clone() for stride, feature in features.items()}
                given = labels.float().clone(), base_logits.detach().float().clone()
            mean = self._climbed(*given, partial(linear, seen))
        else:
            mean = self.mean(x)
        labelled = known.flatten(1).any(1, keepdim=True)
        return diagonal_gaussian(mean * labelled, self.log_variance(x) * labelled)

    def _climbed(self, labels: Tensor, base_logits: Logits, linear: Callable[[Code], Logits]) -> Code:
        """The code after all steps."""
        size = base_logits.shape[2:]
        is_class, is_not = labels.chunk(2, dim=1)
        code = base_logits.new_zeros(len(base_logits), self.code_size)
        for step in self.mean.children():
            with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has switched off
                here = code.detach().clone().requires_grad_()
                log_p = (base_logits + resize(linear(here), size)).log_softmax(1)
                log_other = torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
                log_likelihood = (is_class * log_p + is_not * log_other).sum() / (size[0] * size[1])
                gradient = torch.autograd.grad(log_likelihood, here)[0]
            code = code + START * step(gradient)
        return code


def _step(size: int) -> nn.Linear:
    layer = nn.Linear(size, size, bias=False)
    nn.init.eye_(layer.weight)
    return layer
