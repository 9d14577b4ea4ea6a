"""Titled pictures side by side, with a legend of the classes: what a README or a report shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from segcode.classes import ClassSet
from segcode.tensors import Image

Sheet: TypeAlias = UInt8[ndarray, "rows columns 3"]
"""RGB; not of the size of the pictures on it."""

_BOX: Final = 420  # three columns of this fill the width of a README
_NARROWEST: Final = 240  # a title needs as much
_LOWEST: Final = 160  # and a legend as much
_GAP: Final = 14
_TITLE: Final = 20
_ROW: Final = 28
_INK: Final = (40, 40, 40)


@dataclass(frozen=True)
class Panel:
    """A picture (H, W, 3) and what it shows, in up to 25 letters."""

    title: str
    picture: Image


def sheet(panels: Sequence[Panel], columns: int, classes: ClassSet, shown: Iterable[int]) -> Sheet:
    """The panels in rows of `columns`, all scaled into boxes of one size; the last cell is the legend.

    `shown` are the indices of the classes that the legend explains.
    """
    pictures = [_fitted(panel.picture) for panel in panels]
    width = max(_NARROWEST, *(picture.width for picture in pictures))
    height = max(_LOWEST, *(picture.height for picture in pictures))
    rows = math.ceil((len(panels) + 1) / columns)
    size = (_GAP + columns * (width + _GAP), _GAP + rows * (height + _TITLE + 2 * _GAP))
    canvas = Pillow.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_TITLE)
    cells = [*pictures, _legend(classes, sorted(shown), width, height)]
    for place, (title, cell) in enumerate(zip([*(panel.title for panel in panels), "classes"], cells, strict=True)):
        row, column = divmod(place, columns)
        left, top = _GAP + column * (width + _GAP), _GAP + row * (height + _TITLE + 2 * _GAP)
        draw.text((left, top + _TITLE), title, _INK, font, anchor="ls")
        canvas.paste(cell, (left, top + _TITLE + _GAP // 2))
    return np.array(canvas)


def _fitted(picture: Image) -> Pillow.Image:
    """Scaled to touch the box; single pixels stay visible where a picture is much smaller than it."""
    height, width = picture.shape[:2]
    scale = _BOX / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    method = Pillow.Resampling.NEAREST if scale >= 2 else Pillow.Resampling.BICUBIC
    return Pillow.fromarray(picture).resize(size, method)


def _legend(classes: ClassSet, shown: Sequence[int], width: int, height: int) -> Pillow.Image:
    canvas = Pillow.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_ROW - 10)
    rows = max(1, height // _ROW)
    columns = max(1, math.ceil(len(shown) / rows))
    for place, index in enumerate(shown):
        column, row = divmod(place, rows)
        left, top = column * width // columns, row * _ROW
        draw.rectangle((left, top, left + _ROW - 8, top + _ROW - 8), classes.colours[index])
        draw.text((left + _ROW, top + 1), classes.names[index], _INK, font)
    return canvas
