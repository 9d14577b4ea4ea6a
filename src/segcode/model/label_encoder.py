"""q(c | known labels, image): the mean and the log-variance of the code (Fig. 2, bottom left).

The paper's encoder sees the whole label image. Ours may see any part of it, so that it proposes a code for a truth of
a few pixels, too, and tells whether a class is known as a whole.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from segcode.model.config import STRIDES, ModelConfig
from segcode.model.features import Pyramid, convolution
from segcode.tensors import IGNORE, Code, Known, Labels, Logits


class CodeDistribution(NamedTuple):
    """A diagonal Gaussian over codes."""

    mean: Code
    log_variance: Code

    def sample(self) -> Code:
        """A draw that gradients pass through (Kingma and Welling 2014)."""
        return self.mean + (0.5 * self.log_variance).exp() * torch.randn_like(self.mean)


class Encoding(NamedTuple):
    """What the label encoder makes of all labels, or of those that are known.

    Attributes:
        code: the distribution of the code.
        whole: logit of the belief that what is known of a class is all of it, so that the rest is of other classes.
    """

    code: CodeDistribution
    whole: Float[Tensor, "B M"]


class Scene(NamedTuple):
    """What the label encoder makes of an image before anything is told: it serves all truths about the image.

    Attributes:
        probability: of each class by zero code.
        area: of each class by zero code, in pixels: the sum of its probability.
        levels: the part of the image in each convolution, fine to coarse.
    """

    probability: Float[Tensor, "B M H W"]
    area: Float[Tensor, "B M"]
    levels: tuple[Tensor, ...]


def one_hot(labels: Labels, classes: int) -> Tensor:
    """Labels (B, H, W) as (B, M, H, W) in 0 and 1; void pixels are all zero."""
    void = labels == IGNORE
    hot = functional.one_hot(labels.long().masked_fill(void, 0), classes).permute(0, 3, 1, 2)
    return hot.float() * ~void[:, None]


def known_labels(labels: Labels, classes: int) -> Known:
    """A whole label image as the encoder's input; void is unknown."""
    hot = one_hot(labels, classes)
    return torch.cat([hot, torch.zeros_like(hot)], dim=1)


class LabelEncoder(nn.Module):
    """Stride-2 convolutions over what is known, image features of the same resolution concatenated at every level.

    It also sees what zero code says, for the code is to tell what that got wrong. The last level is pooled to a fixed
    grid, so that the fully connected layers fit images of any size. Where nothing is known the code is N(0, I).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.channels
        self.classes = config.classes
        self.down = nn.ModuleList(
            convolution((3 * config.classes if s == 1 else width(s)) + width(s), width(2 * s), stride=2)
            for s in reversed(STRIDES[1:])
        )
        self.last = convolution(2 * width(16), config.code_channels)
        self.pool = nn.AdaptiveAvgPool2d(config.code_grid)
        flat = config.code_channels * config.code_grid[0] * config.code_grid[1]
        self.mean = nn.Linear(flat, config.code_size)
        self.log_variance = nn.Linear(flat, config.code_size)
        self.whole = nn.Linear(flat, config.classes)
        self.coverage = nn.Parameter(torch.tensor([10.0, -6.0]))

    def forward(self, known: Known, zero: Logits, features: Pyramid) -> Encoding:
        """Encode what is known of images, given their logits of zero code and their features."""
        return self.encode(known, self.see(zero, features))

    def see(self, zero: Logits, features: Pyramid) -> Scene:
        """What images alone contribute, given their logits of zero code and their features."""
        probability = zero.detach().float().softmax(1)
        levels = []
        for stride, layer in zip(reversed(STRIDES), (*self.down, self.last), strict=True):
            image = torch.cat([probability, features[1]], dim=1) if stride == 1 else features[stride]
            convolve = _convolution_of(layer)
            levels.append(_convolved(convolve, image, slice(convolve.in_channels - image.shape[1], None)))
        return Scene(probability, probability.sum((2, 3)), tuple(levels))

    def encode(self, known: Known, scene: Scene) -> Encoding:
        """Encode what is known of images that were seen."""
        told = known.flatten(2).any(2)
        used = told.any(0)  # nothing is known of most classes
        used[0] = True  # no plane at all is no input
        channels: Tensor | slice = used.nonzero()[:, 0]
        x = known[:, channels]
        for layer, of_image in zip((*self.down, self.last), scene.levels, strict=True):
            x = layer[1:](of_image + _convolved(_convolution_of(layer), x, channels))
            channels = slice(x.shape[1])
        x = self.pool(x).flatten(1)
        # Beyond e^-10 and e^10 the variance says nothing more, and its exponent leaves half precision.
        any_told = told.any(1, keepdim=True)
        code = CodeDistribution(self.mean(x) * any_told, self.log_variance(x).clamp(-10.0, 10.0) * any_told)
        # The share of what zero code calls a class that is known to be of it: of a whole mask, nearly all.
        known_of = used[: self.classes].nonzero()[:, 0]
        covered = torch.zeros_like(scene.area)
        overlap = (scene.probability[:, known_of] * known[:, known_of]).sum((2, 3))
        covered[:, known_of] = overlap / scene.area[:, known_of].clamp(min=1e-6)
        slope, offset = self.coverage
        return Encoding(code, self.whole(x) + slope * covered + offset)


def _convolution_of(layer: nn.Sequential) -> nn.Conv2d:
    convolve = layer[0]
    assert isinstance(convolve, nn.Conv2d)
    return convolve


def _convolved(layer: nn.Conv2d, x: Tensor, channels: Tensor | slice) -> Tensor:
    """What some of its input channels contribute to a convolution."""
    return functional.conv2d(x, layer.weight[:, channels], stride=layer.stride, padding=layer.padding)
