"""Label maps that are there already as initial predictions: correct an old annotation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from segcode.data.folder import ClassFile
from segcode.data.images import open_image
from segcode.data.labels import LabelFile, read_colour_labels, read_index_labels
from segcode.errors import ConfigError, DataError
from segcode.prediction import InitialPrediction
from segcode.segmenters.files_of_images import FilesOfImages
from segcode.tensors import IGNORE, Image

CONFIDENCE: Final = 0.95
"""The share of an old map's pixels that are right, where nobody says it; the lower, the farther a label reaches."""


class LabelSegmenter:
    """Reads FOLDER/NAME.png: each pixel's class gets one probability, the others share the rest; void knows nothing."""

    def __init__(
        self, folder: Path, classes: ClassFile, confidence: float = CONFIDENCE, report: Callable[[str], None] = print
    ) -> None:
        """Of a folder.

        Args:
            folder: of ids in one channel, or of pictures in the classes' colours with black for void.
            classes: and their ids in the files.
            confidence: probability of a pixel's class: about the share of the map that is right.
            report: is told what is unusual in a file.

        Raises:
            ConfigError: if it has no images, or the confidence is none.
        """
        lowest = 1 / len(classes.classes)
        if not lowest < confidence < 1:
            raise ConfigError(
                f"the confidence is {confidence:g}: give the share of pixels that are right, below 1 and "
                f"above {lowest:.2g}, which is a guess"
            )
        self._files = FilesOfImages(folder)
        self._classes = classes
        self._advantage = math.log(confidence * (len(classes.classes) - 1) / (1 - confidence))
        self._report = report

    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """The labels of an image. Raises DataError if they are missing or damaged, or of another shape."""
        path = self._files.of(name)
        labels, notes = self._read(path)
        for note in notes:
            self._report(note)
        rows, columns = image.shape[:2]
        scale = labels.shape[0] / rows
        if abs(labels.shape[1] - scale * columns) > max(1.0, scale):  # smaller copies of images are worked on, too
            raise DataError(
                f"{path} is {labels.shape[0]} x {labels.shape[1]}, but its image is {rows} x {columns} (rows x "
                "columns): give labels of the image's size, or scaled as a whole"
            )
        logits = np.zeros((len(self._classes.classes), *labels.shape), np.float32)
        row, column = np.nonzero(labels != IGNORE)
        logits[labels[row, column], row, column] = self._advantage
        return InitialPrediction(logits)

    def _read(self, path: Path) -> LabelFile:
        with open_image(path, header=True) as picture:
            coloured = picture.mode in ("RGB", "RGBA")
        if not coloured:
            return read_index_labels(path, self._classes.classes, self._classes.train_ids)
        colours = {colour: index for index, colour in enumerate(self._classes.classes.colours)}
        return read_colour_labels(path, {(0, 0, 0): IGNORE} | colours)
