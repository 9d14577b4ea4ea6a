"""Outputs of any segmenter that are stored as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from segcode.data.files import ARRAY_SUFFIXES
from segcode.errors import DataError, listed, reason
from segcode.numbers import Numbers
from segcode.prediction import InitialPrediction
from segcode.segmenters.files_of_images import FilesOfImages
from segcode.tensors import Image


class ArraySegmenter:
    """Reads FOLDER/NAME.npy or .npz: logits or probabilities (M, h, w) of the image NAME, on a grid of any size."""

    def __init__(self, folder: Path, numbers: Numbers) -> None:
        """Look for the arrays of a folder. Raises ConfigError if it has none."""
        self._files = FilesOfImages(folder, ARRAY_SUFFIXES)
        self.numbers = numbers

    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """The array of an image. Raises DataError if it is missing or wrong."""
        path = self._files.of(name)
        return InitialPrediction(self.numbers.logits(read_array(path), str(path), (image.shape[0], image.shape[1])))


def read_array(path: Path) -> ndarray:
    """The array of an .npy file, mapped into memory, or the only one of an .npz. Raises DataError."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(found, ndarray):
            return found
        with found:
            if len(found.files) == 1:
                return found[found.files[0]]
            raise DataError(f"{path} has {len(found.files)} arrays ({listed(found.files)}): keep one a file")
    except DataError:
        raise
    except Exception as error:  # damaged zip files and headers raise errors of many kinds
        raise DataError(f"{path} is no array that can be read ({reason(error)}): save it by numpy.save") from None
