"""The one policy of resizing: images lose detail but gain no jagged edges; labels stay class ids."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pillow

from segcode.tensors import Image, LabelImage


def as_many(size: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns with the aspect ratio of `size` and about as many cells as `cells`."""
    return scaled(size, math.sqrt(math.prod(cells) / math.prod(size)))


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Rows and columns times a scale, in whole numbers from 1 up."""
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def resize_image(image: Image, height: int, width: int) -> UInt8[ndarray, "{height} {width} 3"]:
    """RGB (H, W, 3) to (height, width, 3), bilinear and antialiased: every source pixel counts when it shrinks."""
    return np.array(Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BILINEAR))


def resize_labels(labels: LabelImage, height: int, width: int) -> UInt8[ndarray, "{height} {width}"]:
    """Labels (H, W) to (height, width): each takes the class at its pixel's centre, so no new ids arise."""
    return np.array(Pillow.fromarray(labels).resize((width, height), Pillow.Resampling.NEAREST))
