"""The exposure of dark images."""

from __future__ import annotations

import math

import torch

from segcode.batches import ImageBatch


def brightened(image: ImageBatch, least: float) -> ImageBatch:
    """Images in 0..1, those darker than a mean luma (ITU-R BT.601) of `least` brightened to about it by a gamma.

    The exponent is log `least` / log mean. With `least` 0 every image stays as it is.
    """
    if not least:
        return image
    luma = torch.tensor([0.299, 0.587, 0.114], device=image.device)
    mean = image.mean((2, 3)) @ luma
    gamma = math.log(least) / mean.clamp(1e-3, 1 - 1e-3).log()
    return image ** gamma.clamp(max=1)[:, None, None, None]
