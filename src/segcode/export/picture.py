"""Pictures of labels and scalars, and files that are whole or not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image as Pillow

from segcode.tensors import Image


def heat(values: Float[ndarray, "H W"], highest: float | None = None) -> Image:
    """Scalars as colours (H, W, 3), 0 dark to `highest` (the 99th percentile if not given) bright."""
    top = highest if highest is not None else float(np.quantile(values, 0.99))
    colours = mpl.colormaps["inferno"](np.clip(values / max(top, 1e-9), 0, 1))[..., :3]
    return np.round(255 * colours).astype(np.uint8)


def overlay(image: Image, colours: Image, opacity: float = 0.55) -> Image:
    """Class colours over the image; `opacity` 0..1 is that of the colours."""
    return np.round((1 - opacity) * image + opacity * colours).astype(np.uint8)


def stacked(rows: Sequence[Sequence[Image]], gap: int = 4) -> ndarray:
    """Pictures of one size in rows and columns on white, as one picture (H, W, 3)."""
    height, width = rows[0][0].shape[:2]
    columns = max(map(len, rows))
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def write_picture(path: Path, picture: ndarray) -> None:
    """Write (H, W) or (H, W, 3) bytes as PNG under a temporary name, then rename; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        Pillow.fromarray(picture).save(unfinished, format="PNG")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
