"""Masks as the brush strokes of Label Studio: the bit stream of `rle-pack` over RGBA pixels.

A stream begins with the number of values (32 bits), the bits of a value less 1 (5 bits), and four widths less 1 (4 bits
each). Then come packets: a bit that says whether one value is repeated or several follow, which of the four widths
their number has (2 bits), the number less 1, and the value or values. Zeros fill the last byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Bool, Integer
from numpy import ndarray

from segcode.errors import DataError

_WIDTHS: Final = (3, 4, 8, 16)
_VALUE: Final = 8
_HEADER: Final = 32 + 5 + 4 * 4


def encode_brush(mask: Bool[ndarray, "H W"]) -> list[int]:
    """The bytes of a mask: True is opaque white, False transparent black."""
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges])
    runs, values = _short(4 * np.diff(starts, append=flat.size), 255 * flat[starts].astype(np.int64))
    choice = np.searchsorted(1 << np.array(_WIDTHS), runs)
    width = np.array(_WIDTHS)[choice]
    packets = (((4 + choice) << width | runs - 1) << _VALUE) | values
    header = [4 * flat.size, _VALUE - 1, *(width - 1 for width in _WIDTHS)]
    numbers = np.concatenate([header, packets])
    return np.packbits(_bits(numbers, np.concatenate([[32, 5, 4, 4, 4, 4], 3 + width + _VALUE]))).tolist()


def decode_brush(rle: Sequence[int], size: tuple[int, int]) -> Bool[ndarray, "H W"]:
    """Where an image of (rows, columns) is painted: the pixels that are covered by at least half.

    Raises:
        DataError: if the bytes are no such stream, are cut off, or are of an image of another size.
    """
    try:
        content = bytes(rle)
    except ValueError:
        raise DataError("the rle of a brush has more than bytes in it: give numbers from 0 to 255") from None
    stream = int.from_bytes
    count, bits = stream(content[:4]), stream(content[4:7])  # the last 3 bits belong to the first packet
    if count != 4 * math.prod(size):
        raise DataError(f"the rle of a brush has {count} values, not 4 x {size[0]} x {size[1]}: give all of its image")
    if bits >> 19 != _VALUE - 1:
        raise DataError(f"the rle of a brush has values of {(bits >> 19) + 1} bits: Label Studio writes 8")
    widths = [(bits >> shift & 15) + 1 for shift in (15, 11, 7, 3)]
    return _unpacked(content, widths, count).reshape(*size, 4)[..., 3] > 127


def _short(runs: Integer[ndarray, "n"], values: Integer[ndarray, "n"]) -> tuple[ndarray, ndarray]:
    """The same runs, none longer than what the widest number can say."""
    most = 1 << max(_WIDTHS)
    pieces = -(-runs // most)
    short = np.full(pieces.sum(), most)
    short[pieces.cumsum() - 1] = (runs - 1) % most + 1
    return short, np.repeat(values, pieces)


def _bits(numbers: Integer[ndarray, "n"], widths: Integer[ndarray, "n"]) -> Bool[ndarray, "bits"]:
    """Numbers written one after the other, each in its number of bits."""
    place = np.arange(widths.sum()) - np.repeat(widths.cumsum() - widths, widths)
    return (np.repeat(numbers, widths) >> (np.repeat(widths, widths) - 1 - place) & 1).astype(bool)


def _unpacked(content: bytes, widths: list[int], count: int) -> ndarray:
    """The values of a stream. Where a packet begins is known once the one before was read, so this goes by packets."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    padded = content + bytes(8)
    repeated: list[int] = []
    ends = [0]
    literal: list[tuple[int, int, int]] = []
    at = _HEADER
    while ends[-1] < count and at < len(bits):
        shift = 64 - (at & 7)
        window = int.from_bytes(padded[at >> 3 : (at >> 3) + 8])
        width = widths[window >> shift - 3 & 3]
        number = (window >> shift - 3 - width & (1 << width) - 1) + 1
        if window >> shift - 1 & 1:
            repeated.append(window >> shift - 3 - width - _VALUE & 255)
            at += 3 + width + _VALUE
        else:
            repeated.append(0)
            at += 3 + width
            literal.append((ends[-1], number, at))
            at += number * _VALUE
        ends.append(ends[-1] + number)
    if ends[-1] != count or at > len(bits):
        raise DataError(f"the rle of a brush ends after {min(ends[-1], count)} of {count} values: give all its bytes")
    values = np.repeat(np.array(repeated, np.uint8), [after - before for before, after in pairwise(ends)])
    for begin, number, place in literal:
        values[begin : begin + number] = np.packbits(bits[place : place + number * _VALUE])
    return values
