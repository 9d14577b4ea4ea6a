"""Image to feature pyramid by EfficientNet-Lite0 and a small decoder."""

from __future__ import annotations

from segcode.batches import ImageBatch
from segcode.efficientnet import CHANNELS, EfficientNetLite0
from segcode.model.decoded_features import DecodedFeatures
from segcode.model.features import Pyramid


class EfficientNetFeatures(DecodedFeatures):
    """A `Backbone` of strides 32 to 2."""

    def __init__(self, width: int) -> None:
        super().__init__(EfficientNetLite0(), CHANNELS, width)

    def encoded(self, image: ImageBatch) -> Pyramid:
        """The network saw photographs in -1..1."""
        maps: Pyramid = self.encoder(image * (255 / 128) - 127 / 128)
        return maps
