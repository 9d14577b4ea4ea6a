from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image as Pillow

from segcode.errors import DataError
from segcode.export.bitmask import decode_bitmask, encode_bitmask

EYE = np.eye(9, dtype=bool)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans()))
def test_masks_round_trip(mask: np.ndarray) -> None:
    assert (decode_bitmask(encode_bitmask(mask), mask.shape) == mask).all()


def test_painted_pixels_are_opaque_black_and_the_others_transparent() -> None:
    content = base64.b64decode(encode_bitmask(EYE).removeprefix("data:image/png;base64,"))
    picture = np.array(Pillow.open(io.BytesIO(content)).convert("RGBA"))
    assert (picture == np.where(EYE[..., None], [0, 0, 0, 255], 0)).all()


def test_only_alpha_counts_as_in_a_browsers_canvas() -> None:
    content = io.BytesIO()
    canvas = np.full((9, 9, 4), 200, np.uint8)
    canvas[..., 3] = np.where(EYE, 128, 127)
    Pillow.fromarray(canvas).save(content, format="PNG")
    address = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    assert (decode_bitmask(address, (9, 9)) == EYE).all()


@pytest.mark.parametrize("size", [(3, 3), (9, 8), (9, 10), (90, 90)])
def test_a_bitmask_of_another_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"has .*: (draw it again|scale it down)"):
        decode_bitmask(encode_bitmask(EYE), size)


@pytest.mark.parametrize(
    "address", ["", "http://example.org/mask.png", "data:image/png;base64,", encode_bitmask(EYE)[:-40], "data:,x"]
)
def test_what_is_no_png_is_refused(address: str) -> None:
    with pytest.raises(DataError, match="the bitmask"):
        decode_bitmask(address, (9, 9))
