"""A segcode model as a segmenter: from a photograph of any size to an initial prediction with a code path."""

from __future__ import annotations

import torch

from segcode.data.resize import resize_image
from segcode.model.linearisation import linearise
from segcode.model.segcode import SegCode, as_many
from segcode.prediction import InitialPrediction
from segcode.tensors import Image


class SegCodeSegmenter:
    """The initial prediction is that of zero code (Eq. 6); the code path is the linear decoder (Fig. 2)."""

    def __init__(self, model: SegCode, device: str | None = None) -> None:
        """Take a model, and compute on a device ("cpu", "cuda:1"), or else where the model is."""
        self.model = model if device is None else model.to(device)
        self.model.eval()

    @torch.inference_mode()
    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """The network sees the image scaled to as many pixels as its training images had, its aspect ratio kept."""
        size = as_many((image.shape[0], image.shape[1]), self.model.config.size)
        pixels = torch.from_numpy(resize_image(image, *size))
        device = next(self.model.parameters()).device
        linearisation = linearise(self.model, pixels.to(device).permute(2, 0, 1)[None].float() / 255)
        return InitialPrediction(linearisation.base_logits, code=linearisation, b=linearisation.b)
