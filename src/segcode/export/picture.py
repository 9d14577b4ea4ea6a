"""Pictures of labels and scalars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image as Pillow

from segcode.data.images import result_note
from segcode.files import replacing
from segcode.tensors import Image

# fmt: off
_INFERNO: Final = np.array([
    [0, 0, 4], [12, 8, 38], [36, 12, 79], [66, 10, 104], [93, 18, 110], [120, 28, 109], [147, 38, 103], [174, 48, 92],
    [199, 62, 76], [221, 81, 58], [237, 105, 37], [248, 133, 15], [252, 165, 10], [250, 198, 45], [242, 230, 97],
    [252, 255, 164],
])
"""Every 17th of the 256 colours of Matplotlib's "inferno" (van der Walt and Smith, CC0)."""
# fmt: on


def heat(values: Float[ndarray, "H W"], highest: float | None = None) -> Image:
    """Scalars as colours (H, W, 3), 0 dark to `highest` (the 99th percentile if not given) bright."""
    top = highest if highest is not None else float(np.quantile(values, 0.99))
    places = np.linspace(0, 1, len(_INFERNO))
    table = np.stack([np.interp(np.linspace(0, 1, 256), places, channel) for channel in _INFERNO.T], axis=-1)
    levels = np.clip(values * np.float32(255 / max(top, 1e-9)), 0, 255).round().astype(np.uint8)
    return np.round(table).astype(np.uint8)[levels]


def overlay(image: Image, colours: Image, opacity: float = 0.55) -> Image:
    """Class colours over the image; `opacity` 0..1 is that of the colours."""
    picture = np.empty_like(image)
    for row, (below, above) in enumerate(zip(image, colours, strict=True)):  # one at a time takes little memory
        picture[row] = np.round((1 - opacity) * below + opacity * above)
    return picture


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


def write_picture(path: Path, picture: ndarray, result: bool = True) -> None:
    """Write (H, W) or (H, W, 3) integers as PNG by `replacing`; missing folders are created.

    Where folders are searched for images, results are left out (`segcode.data.images.is_result`).
    """
    with replacing(path) as unfinished:
        Pillow.fromarray(picture).save(unfinished, format="PNG", pnginfo=result_note() if result else None)
