from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segcode.errors import DataError
from segcode.export.brush_runs import decode_brush, encode_brush

PAIRS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "brush_runs.json").read_text())["pairs"]


def mask_of(pair: dict[str, Any]) -> np.ndarray:
    return np.repeat(np.arange(len(pair["runs"])) % 2 == 1, pair["runs"]).reshape(pair["size"])


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["name"])
def test_streams_of_the_sdk_are_read_as_the_sdk_reads_them(pair: dict[str, Any]) -> None:
    assert (decode_brush(pair["rle"], tuple(pair["size"])) == mask_of(pair)).all()


@pytest.mark.parametrize("pair", PAIRS[:-2], ids=lambda pair: pair["name"])
def test_streams_are_those_of_the_sdk_but_for_a_last_byte_of_padding(pair: dict[str, Any]) -> None:
    ours = encode_brush(mask_of(pair))
    assert pair["rle"] in (ours, [*ours, 0])


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans()))
def test_masks_round_trip(mask: np.ndarray) -> None:
    assert (decode_brush(encode_brush(mask), mask.shape) == mask).all()


def test_a_stream_that_is_cut_off_is_refused() -> None:
    rle = encode_brush(np.eye(9, dtype=bool))
    for length in range(len(rle) - 1):
        with pytest.raises(DataError):
            decode_brush(rle[:length], (9, 9))


def test_a_stream_of_another_size_is_refused_before_anything_is_made_of_it() -> None:
    with pytest.raises(DataError, match=r"4294967295 values, not 4 x 9 x 9"):
        decode_brush([255] * 100, (9, 9))


@pytest.mark.parametrize("rle", [[256], [-1]])
def test_what_is_no_byte_is_refused(rle: list[int]) -> None:
    with pytest.raises(DataError, match="0 to 255"):
        decode_brush(rle, (1, 1))


def test_other_words_than_bytes_are_refused() -> None:
    rle = encode_brush(np.eye(9, dtype=bool))
    rle[4] |= 0b11111000
    with pytest.raises(DataError, match="32 bits"):
        decode_brush(rle, (9, 9))
