"""Image to feature pyramid by an encoder that may have learnt from many photographs, and a small decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from segcode.batches import ImageBatch
from segcode.model.features import DilatedBottleneck, Pyramid, convolution, upsampled

FINEST = 2
"""Stride of the logits; an encoder that is coarser gets a convolution of the image beside it."""


class DecodedFeatures(nn.Module, ABC):
    """A `Backbone`: an encoder, dilated context at its coarsest stride, skip connections and up-sampling to stride 2.

    A subclass says how the encoder sees an image.

    Args:
        encoder: a module.
        channels: of its maps, by stride.
        width: stride s has s times as many channels as this, 8 times from stride 8 on.
    """

    def __init__(self, encoder: nn.Module, channels: Mapping[int, int], width: int) -> None:
        super().__init__()
        self.encoder = encoder
        skips = dict(channels)
        self.stem = None
        if FINEST not in skips:
            skips[FINEST] = FINEST * width
            self.stem = convolution(3, FINEST * width, stride=FINEST)
        self.strides = tuple(sorted(skips, reverse=True))
        self.out_channels = tuple(width * min(stride, 8) for stride in self.strides)
        coarsest, fines = self.out_channels[0], self.out_channels[1:]
        self.bottleneck = nn.Sequential(nn.Conv2d(skips[self.strides[0]], coarsest, 1), DilatedBottleneck(coarsest))
        self.up = nn.ModuleList(
            convolution(coarse + skips[stride], fine)
            for stride, coarse, fine in zip(self.strides[1:], self.out_channels[:-1], fines, strict=True)
        )

    @abstractmethod
    def encoded(self, image: ImageBatch) -> Pyramid:
        """The maps of the encoder by stride, of an image batch in 0..1."""

    def forward(self, image: ImageBatch) -> Pyramid:
        """Features of an image batch in 0..1, each with the context of the full image."""
        maps = self.encoded(image)
        if self.stem is not None:
            maps[FINEST] = self.stem(image - 0.5)
        skips = {stride: maps[stride].contiguous() for stride in self.strides}
        skips[self.strides[0]] = self.bottleneck(skips[self.strides[0]])
        return upsampled(skips, self.up)
