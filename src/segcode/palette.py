"""Colours that people with and without colour blindness can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.classes import Colour

# Machado, Oliveira and Fernandes 2009, severity 1.0, for linear RGB.
_VISIONS: Final = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
_TO_XYZ: Final = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@cache
def distinct_colours(count: int) -> tuple[Colour, ...]:
    """`count` colours, each as unlike those before it as possible for the vision that sees the least difference.

    They are chosen greedily from a cube of 9 x 9 x 9 without nearly black ones, by the distance in CIELAB (1976).
    """
    levels = np.linspace(0, 255, 9).round().astype(int).tolist()
    candidates = np.array([rgb for rgb in product(levels, repeat=3) if max(rgb) > 90])
    seen = appearance(candidates)
    chosen = [int(np.abs(candidates - (0, 127, 191)).sum(1).argmin())]
    apart = np.full(len(candidates), np.inf)
    while len(chosen) < count:
        apart = np.minimum(apart, np.linalg.norm(seen - seen[:, chosen[-1:]], axis=2).min(0))
        chosen.append(int(apart.argmax()))
    return tuple((int(r), int(g), int(b)) for r, g, b in candidates[chosen])


def completed_colours(given: Sequence[Colour | None]) -> tuple[Colour, ...]:
    """The colours given, with each None replaced by one of `distinct_colours`."""
    free = (colour for colour in distinct_colours(2 * len(given)) if colour not in given)
    return tuple(next(free) if colour is None else colour for colour in given)


def appearance(colours: Float[ndarray, "n 3"] | ndarray) -> Float[ndarray, "4 n 3"]:
    """CIELAB of sRGB colours 0..255, for each kind of vision."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.stack([_lab(np.clip(linear @ vision.T, 0, 1)) for vision in _VISIONS.values()])


def _lab(linear: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    xyz = linear @ _TO_XYZ.T / _TO_XYZ.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
