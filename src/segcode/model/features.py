"""Image to feature pyramid: the U-Net of Fig. 2, top, and what a network in its place must offer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcode.batches import ImageBatch
from segcode.resampling import resize

Pyramid: TypeAlias = dict[int, Tensor]
"""Features (B, channels, rows, columns) by stride; odd sides round up."""

_MEAN = (0.41, 0.42, 0.43)  # close to street scenes of every data set that we read
_DEVIATION = (0.29, 0.30, 0.30)


@runtime_checkable  # so that the tests can check it
class Backbone(Protocol):
    """A module that gives features at several strides.

    Attributes:
        strides: of the maps, coarse to fine; the logits have the last.
        out_channels: channels of each map, in the order of `strides`.
    """

    strides: tuple[int, ...]
    out_channels: tuple[int, ...]

    def __call__(self, image: ImageBatch) -> Pyramid:
        """Features of an image batch in 0..1."""


def convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class DilatedBottleneck(nn.Module):
    """Residual 3 x 3 convolutions of growing dilation in place of further down-sampling (Sect. 2.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(convolution(channels, channels, dilation=d) for d in (1, 2, 4))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


def upsampled(skips: Pyramid, layers: Iterable[nn.Module]) -> Pyramid:
    """A pyramid from the coarsest features up: each layer gets those below, enlarged, and those of its own stride."""
    (stride, x), *finer = skips.items()
    pyramid = {stride: x}
    for (stride, skip), layer in zip(finer, layers, strict=True):
        x = pyramid[stride] = layer(torch.cat([resize(x, skip.shape[-2:]), skip], dim=1))
    return pyramid


class UNet(nn.Module):
    """A `Backbone`: stride-2 convolutions down to stride 16, skip connections and bilinear up-sampling to stride 1.

    Args:
        width: channels at stride 1; stride s has s times as many.
        mean: of each channel of the input.
        deviation: of each channel of the input.
    """

    strides: tuple[int, ...] = (16, 8, 4, 2, 1)
    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, mean: Sequence[float] = _MEAN, deviation: Sequence[float] = _DEVIATION) -> None:
        super().__init__()
        self.out_channels = tuple(width * stride for stride in self.strides)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1))
        self.stem = convolution(len(mean), width)
        self.down = nn.ModuleList(
            nn.Sequential(convolution(width * s // 2, width * s, stride=2), convolution(width * s, width * s))
            for s in reversed(self.strides[:-1])
        )
        self.bottleneck = DilatedBottleneck(self.out_channels[0])
        self.up = nn.ModuleList(
            nn.Sequential(convolution(width * 2 * s + width * s, width * s), convolution(width * s, width * s))
            for s in self.strides[1:]
        )

    def forward(self, image: Float[Tensor, "B C H W"]) -> Pyramid:
        """Features of a batch of images in 0..1, or of other maps, each with the context of the full map."""
        x = self.stem((image - self.mean) / self.deviation)
        skips = [x]
        for down in self.down:
            skips.append(down(skips[-1]))
        skips.append(self.bottleneck(skips.pop()))
        return upsampled(dict(zip(self.strides, reversed(skips), strict=True)), self.up)
