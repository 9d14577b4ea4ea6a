"""Where to look next: regions of an image where a person's answer would tell most."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from scipy.ndimage import uniform_filter

from segcode.refinement.refiner import Predictive

WINDOW: Final = 0.12
"""Side of a region by that of the image."""


class Place(NamedTuple):
    """A region by its top left corner, in pixels, and what it promises, in nats a pixel."""

    row: int
    column: int
    height: int
    width: int
    promise: float


def places_to_look(predictive: Predictive, told: Bool[ndarray, "H W"], count: int = 8) -> list[Place]:
    """Regions that do not overlap, the most promising first.

    What a pixel promises is the entropy of its predictive distribution: the doubt about the pixel itself, and the
    mutual information of its class and the code (Houlsby et al. 2011), which is what an answer would change elsewhere.
    Pixels that are told promise nothing.

    Args:
        predictive: of the image, after what has been told.
        told: where a class is told.
        count: at most so many.
    """
    size = told.shape
    height, width = (max(1, round(WINDOW * side)) for side in size)
    pixels = np.where(told, 0.0, predictive.entropy())
    promise = uniform_filter(pixels, (height, width), mode="constant")
    places: list[Place] = []
    while len(places) < count and promise.max() > 0:
        row, column = (int(i) for i in np.unravel_index(promise.argmax(), size))
        top, left = min(max(0, row - height // 2), size[0] - height), min(max(0, column - width // 2), size[1] - width)
        places.append(Place(top, left, height, width, float(promise[row, column])))
        promise[max(0, row - height) : row + height, max(0, column - width) : column + width] = 0
    return places
