"""Masks as the bitmasks of Label Studio: a `data:` address of a PNG, black where painted and else transparent."""

from __future__ import annotations

import base64
import io
import math
from typing import Final

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from PIL import Image as Pillow

from segcode.data.images import open_image
from segcode.errors import DataError

_HEAD: Final = "data:image/png;base64,"


def encode_bitmask(mask: Bool[ndarray, "H W"]) -> str:
    """The address of a mask: True is opaque black, False transparent."""
    content = io.BytesIO()
    alpha = 255 * mask.astype(np.uint8)
    Pillow.fromarray(np.stack([np.zeros_like(alpha), alpha], axis=-1)).save(content, format="PNG")
    return _HEAD + base64.b64encode(content.getvalue()).decode()


def decode_bitmask(address: str, size: tuple[int, int]) -> Bool[ndarray, "H W"]:
    """Where an image of (rows, columns) is painted: the pixels that are covered by at least half.

    Raises:
        DataError: if that is no such address, or the picture is damaged or of another size.
    """
    try:
        content = base64.b64decode(address.removeprefix(_HEAD), validate=True)
    except ValueError:
        raise DataError(f"the bitmask {address[:40]} is no address of a PNG: begin it with {_HEAD}") from None
    with open_image(content, "the bitmask", math.prod(size)) as picture:
        if (picture.height, picture.width) != size:
            given = f"{picture.width} x {picture.height}"
            raise DataError(f"the bitmask has {given} pixels, its image {size[1]} x {size[0]}: draw it again")
        return np.array(picture.convert("RGBA").getchannel("A")) > 127
