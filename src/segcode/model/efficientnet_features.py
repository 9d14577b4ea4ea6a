"""Image to feature pyramid by EfficientNet-Lite0 and a small decoder."""

from __future__ import annotations

from torch import nn

from segcode.efficientnet import CHANNELS, EfficientNetLite0
from segcode.model.features import DilatedBottleneck, Pyramid, convolution, upsampled
from segcode.tensors import ImageBatch


class EfficientNetFeatures(nn.Module):
    """A `Backbone`: EfficientNet-Lite0, dilated context at stride 32, skip connections and up-sampling to stride 2.

    Args:
        width: stride s has s times as many channels as this, 8 times from stride 8 on.
    """

    strides: tuple[int, ...] = tuple(sorted(CHANNELS, reverse=True))

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_channels = tuple(width * min(stride, 8) for stride in self.strides)
        self.encoder = EfficientNetLite0()
        coarsest, fines = self.out_channels[0], self.out_channels[1:]
        self.bottleneck = nn.Sequential(nn.Conv2d(CHANNELS[self.strides[0]], coarsest, 1), DilatedBottleneck(coarsest))
        self.up = nn.ModuleList(
            convolution(coarse + CHANNELS[stride], fine)
            for stride, coarse, fine in zip(self.strides[1:], self.out_channels[:-1], fines, strict=True)
        )

    def forward(self, image: ImageBatch) -> Pyramid:
        """Features of an image batch in 0..1, each with the context of the full image."""
        maps = self.encoder(image * (255 / 128) - 127 / 128)
        skips = {stride: maps[stride].contiguous() for stride in self.strides}
        skips[self.strides[0]] = self.bottleneck(skips[self.strides[0]])
        return upsampled(skips, self.up)
