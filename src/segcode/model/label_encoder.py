"""q(c | known labels, image): the mean and the log-variance of the code (Fig. 2, bottom left).

The paper's encoder sees the whole label image. Ours may see any part of it, so that it proposes a code for a truth of
a few pixels, too, and tells whether a class is known as a whole.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, TypeAlias, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from segcode.model.config import STRIDES, ModelConfig
from segcode.model.features import Pyramid, convolution
from segcode.tensors import IGNORE, Code, Known, Labels, Logits, Pixels

Part: TypeAlias = tuple[slice, slice]
"""Rows and columns of an image."""

WORTH_PARTS: Final = 2**16
"""Pixels of a grid from which on telling a part of it saves more than it takes to know the rest."""

_LAST: Final = STRIDES[0]


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
        untold: what the last of them gives where nothing is told; None unless it was asked for.
    """

    probability: Float[Tensor, "B M H W"]
    area: Float[Tensor, "B M"]
    levels: tuple[Tensor, ...]
    untold: Tensor | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that it holds of the image."""
        untold = () if self.untold is None else (self.untold,)
        return self.probability, self.area, *self.levels, *untold


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

    def see(self, zero: Logits, features: Pyramid, in_parts: bool = False) -> Scene:
        """What images alone contribute, given their logits of zero code and their features.

        With `in_parts` they may be told of in the part that `part_around` gives. That is not for training, whose batch
        norm makes the whole image depend on each part.
        """
        probability = zero.detach().float().softmax(1)
        levels = []
        for stride, layer in zip(reversed(STRIDES), self._layers, strict=True):
            image = torch.cat([probability, features[1]], dim=1) if stride == 1 else features[stride]
            convolve = _convolution_of(layer)
            levels.append(_convolved(convolve, image, slice(convolve.in_channels - image.shape[1], None)))
        scene = Scene(probability, probability.sum((2, 3)), tuple(levels))
        if not in_parts or probability[0, 0].numel() < WORTH_PARTS:
            return scene
        nothing = torch.zeros_like(probability[:, :1])
        return scene._replace(untold=self._convolve(nothing, torch.tensor([0]), scene, _all_of(nothing)))

    def encode(self, known: Known, scene: Scene, part: Part | None = None) -> Encoding:
        """Encode what is known of images that were seen.

        Args:
            known: all of it, or that of a part of images that were seen `in_parts`; of the rest nothing is known.
            scene: the images.
            part: that part, as `part_around` gives it.
        """
        part = part or _all_of(known)
        assert scene.untold is not None or part == _all_of(scene.probability), "the images were not seen in parts"
        told = known.flatten(2).any(2)
        used = told.any(0)  # nothing is known of most classes
        used[0] = True  # no plane at all is no input
        channels = used.nonzero()[:, 0]
        x = self._convolve(known[:, channels], channels, scene, part)
        if scene.untold is not None:
            x = _laid_into(scene.untold, x, part)
        x = self.pool(x).flatten(1)
        # Beyond e^-10 and e^10 the variance says nothing more, and its exponent leaves half precision.
        any_told = told.any(1, keepdim=True)
        code = CodeDistribution(self.mean(x) * any_told, self.log_variance(x).clamp(-10.0, 10.0) * any_told)
        # The share of what zero code calls a class that is known to be of it: of a whole mask, nearly all.
        known_of = used[: self.classes].nonzero()[:, 0]
        covered = torch.zeros_like(scene.area)
        overlap = (scene.probability[:, known_of, *part] * known[:, known_of]).sum((2, 3))
        covered[:, known_of] = overlap / scene.area[:, known_of].clamp(min=1e-6)
        slope, offset = self.coverage
        return Encoding(code, self.whole(x) + slope * covered + offset)

    @property
    def _layers(self) -> tuple[nn.Sequential, ...]:
        """The convolutions, fine to coarse."""
        layers = (*self.down, self.last)
        return cast(tuple[nn.Sequential, ...], layers)

    def _convolve(self, x: Tensor, channels: Tensor | slice, scene: Scene, part: Part) -> Tensor:
        """Some planes of what is known of a part, and the images, through all convolutions."""
        for stride, layer, of_image in zip((*reversed(STRIDES[:-1]), _LAST), self._layers, scene.levels, strict=True):
            rows, columns = (slice(side.start // stride, -(-side.stop // stride)) for side in part)
            x = layer[1:](of_image[:, :, rows, columns] + _convolved(_convolution_of(layer), x, channels))
            channels = slice(x.shape[1])
        return x


def part_around(pixels: Pixels, size: tuple[int, int]) -> Part:
    """The part of images of a size that is enough to `encode` what is known of these pixels; all of small ones."""
    if math.prod(size) < WORTH_PARTS:
        return slice(0, size[0]), slice(0, size[1])

    def along(places: Tensor, length: int) -> slice:
        first, last = (int(places.min()), int(places.max())) if len(places) else (0, 0)
        return slice(max(0, (first // _LAST - 3) * _LAST), min(length, (last // _LAST + 4) * _LAST))

    rows, columns = pixels.unbind(1)
    return along(rows, size[0]), along(columns, size[1])


def _all_of(x: Tensor) -> Part:
    return slice(0, x.shape[2]), slice(0, x.shape[3])


def _laid_into(untold: Tensor, x: Tensor, part: Part) -> Tensor:
    """What the convolutions make of a part, among what they make of the rest.

    Where the part ends and the image does not, they lack the lines beyond: that comes through to two cells at the
    beginning and to one at the end, which are as they are in the rest, for what is told does not reach them.
    """
    begin = [side.start // _LAST for side in part]
    end = [first + length for first, length in zip(begin, x.shape[2:], strict=True)]
    top, left = (first + 2 if first > 0 else 0 for first in begin)
    bottom, right = (last - 1 if last < side else last for last, side in zip(end, untold.shape[2:], strict=True))
    whole = untold.clone()
    whole[:, :, top:bottom, left:right] = x[
        :, :, top - begin[0] : bottom - begin[0], left - begin[1] : right - begin[1]
    ]
    return whole


def _convolution_of(layer: nn.Sequential) -> nn.Conv2d:
    convolve = layer[0]
    assert isinstance(convolve, nn.Conv2d)
    return convolve


def _convolved(layer: nn.Conv2d, x: Tensor, channels: Tensor | slice) -> Tensor:
    """What some of its input channels contribute to a convolution."""
    return functional.conv2d(x, layer.weight[:, channels], stride=layer.stride, padding=layer.padding)
