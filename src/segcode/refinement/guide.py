"""Joint bilateral up-sampling: a pixel takes more from those of the cells around it that have its colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from segcode.data.resize import resize_image
from segcode.tensors import Image

DEVIATION: Final = 25.0
"""Of colours that are alike, in grey levels of 255: in red, green and blue together."""

_FLOOR: Final = 1e-6  # where no cell has the colour of a pixel, the shares are the bilinear ones


@dataclass(frozen=True)
class Guide:
    """A photograph, and its colours at the cells of a coarser grid.

    The share of a cell q in the logits of a pixel p is that of bilinear resampling times

        exp(-|I_p - I_q|^2 / (2 s^2)),      s = `DEVIATION`,

    with I_p the colour of the pixel and I_q the mean colour of the cell (Kopf et al. 2007, Eq. 3, with a tent for the
    spatial filter). A pixel still takes nothing but from the four cells around it.

    Attributes:
        image: RGB (H, W, 3).
        colours: red, green and blue of each cell, counted row by row.
    """

    image: Image
    colours: Float[ndarray, "3 c"]

    @staticmethod
    def of(image: Image, grid: tuple[int, ...]) -> Guide | None:
        """A photograph over a grid of (rows, columns); None if the cells are no larger than the pixels."""
        if grid[0] >= image.shape[0] and grid[1] >= image.shape[1]:
            return None
        return Guide(image, resize_image(image, *grid).reshape(-1, 3).T.astype(np.float32, order="C"))

    def weigh(
        self,
        places: Integer[ndarray, "*p"],
        colours: Sequence[Float[ndarray, "3 *#p"]],
        shares: Sequence[Float[ndarray, "*#p"]],
    ) -> list[Float[ndarray, "*p"]]:
        """The shares of cells of some colours at pixels, from those of bilinear resampling; their sums are not 1.

        Args:
            places: of the pixels, counted row by row.
            colours: of the cells.
            shares: of bilinear resampling.
        """
        pixels = np.moveaxis(self.image.reshape(-1, 3).take(places, 0), -1, 0).astype(np.float32, order="C")
        weights = []
        for colour, share in zip(colours, shares, strict=True):
            distance = pixels - colour
            weight = np.square(distance, out=distance).sum(0)
            weight *= np.float32(-0.5 / DEVIATION**2)
            np.exp(weight, out=weight)
            weight += _FLOOR
            weight *= share
            weights.append(weight)
        return weights
