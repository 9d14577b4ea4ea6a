"""Label maps as initial predictions, to correct an old annotation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from segcode.data.folder import ClassFile
from segcode.data.images import open_image
from segcode.data.labels import LabelFile, ids_of_colours, read_colour_labels, read_index_labels
from segcode.errors import ConfigError, DataError
from segcode.prediction import InitialPrediction
from segcode.segmenters.files_of_images import FilesOfImages
from segcode.tensors import IGNORE, Image

CONFIDENCE: Final = 0.95
"""Default share of an old map's pixels that are right; the lower it is, the farther a label reaches."""


class LabelSegmenter:
    """Reads FOLDER/NAME.png: each pixel's class gets one probability, the others share the rest; void is uniform."""

    def __init__(self, folder: Path, classes: ClassFile, confidence: float, report: Callable[[str], None]) -> None:
        """Look for the label maps of a folder.

        Args:
            folder: has ids in one channel, or pictures in the classes' colours with black for void.
            classes: the classes and their ids in the files.
            confidence: probability of a pixel's class: about the share of the map that is right.
            report: called with one line for each unusual thing in a file.

        Raises:
            ConfigError: if the folder has no images, or the confidence is not between a guess and 1.
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
        path, labels = self._files.of(name), self.read(name).labels
        rows, columns = image.shape[:2]
        scale = labels.shape[0] / rows
        if abs(labels.shape[1] - scale * columns) > max(1.0, scale):  # smaller copies of images are worked on, too
            raise DataError(
                f"{path} is {labels.shape[0]} x {labels.shape[1]}, but its image is {rows} x {columns} (rows x "
                "columns): give labels of the image's size, or scaled as a whole"
            )
        logits = np.zeros((len(self._classes.classes), *labels.shape), np.float32)
        row, column = np.nonzero(labels != IGNORE)
        if not row.size:
            self._report(f"{path} is void everywhere: its initial prediction means nothing")
        logits[labels[row, column], row, column] = self._advantage
        return InitialPrediction(logits)

    def read(self, name: str | None) -> LabelFile:
        """The label file of an image. Raises DataError if it is missing or damaged."""
        path = self._files.of(name)
        with open_image(path, header=True) as picture:
            coloured = picture.mode in ("RGB", "RGBA")
        if coloured:
            file = read_colour_labels(path, ids_of_colours(self._classes.classes))
        else:
            file = read_index_labels(path, self._classes.classes, self._classes.train_ids)
        for note in file.notes:
            self._report(note)
        return file
