"""Guided up-sampling as its equation says, all weights at once: what `Guide` and the bands are compared with."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from segcode.refinement.guide import DEVIATION


def tents(size: int, cells: int) -> np.ndarray:
    """Shares of bilinear resampling along a side, (size, cells)."""
    centres = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    return np.clip(1 - np.abs(centres[:, None] - np.arange(cells)), 0, None)


def upsampled(logits: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Logits (M, h, w) at the size of an image, (M, H, W) in float64."""
    rows, columns = logits.shape[1:]
    small = Pillow.fromarray(image).resize((columns, rows), Pillow.Resampling.BILINEAR)
    differences = image[:, :, None, None].astype(float) - np.asarray(small)
    alike = np.exp(-np.square(differences).sum(-1) / (2 * DEVIATION**2)) + 1e-6
    shares = np.einsum("Hh,Ww->HWhw", tents(image.shape[0], rows), tents(image.shape[1], columns)) * alike
    return np.einsum("HWhw,mhw->mHW", shares / shares.sum((2, 3), keepdims=True), np.asarray(logits, float))
