"""The images of a measurement: labels, initial prediction, and random draws that depend on the image's name alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.data.prefetch import prefetch
from segcode.data.select import check_classes
from segcode.errors import DataError
from segcode.refinement.guide import Guide
from segcode.refinement.layers import Layers
from segcode.refinement.refiner import Refiner
from segcode.refinement.result import SegmentationMap, Status
from segcode.sample import Source
from segcode.tensors import Image, LabelImage
from segcode.truth.truth import Truth

Progress = Callable[[Iterable[int]], Iterable[int]]
"""Wraps the indices of the images, to show a bar."""


@dataclass(frozen=True)
class LabelledImage:
    """A labelled image that is set in a refiner.

    Attributes:
        image: RGB.
        labels: true classes, IGNORE where unknown.
    """

    name: str
    image: Image
    labels: LabelImage
    initial: SegmentationMap
    classes: ClassSet

    def draw(self, seed: int, number: int) -> np.random.Generator:
        """Random numbers that depend on the image's name, a seed and a number: a subset gives the same draws."""
        return np.random.default_rng([seed, crc32(self.name.encode()), number])


def labelled_images(
    refiner: Refiner, source: Source, classes: ClassSet, progress: Progress = iter
) -> Iterator[LabelledImage]:
    """Set each image of a source in a refiner.

    Raises:
        DataError: if the source has other classes than the segmenter, or a sample has no labels.
    """
    check_classes(source, classes)
    samples = prefetch(source.__getitem__, range(len(source)))
    for _, sample in zip(progress(range(len(source))), samples, strict=True):
        if sample.labels is None:
            raise DataError(f"'{sample.name}' has no labels: evaluate on a split that is labelled")
        initial = refiner.set_image(sample.image, sample.name)
        if initial.truth.classes != len(classes):
            raise DataError(
                f"the segmenter has {initial.truth.classes} classes, the data {len(classes)}: return one logit for "
                f"each of {', '.join(classes.names)}"
            )
        yield LabelledImage(sample.name, sample.image, sample.labels, initial, classes)


def map_of(logits: Float[ndarray, "M h w"], truth: Truth, image: Image) -> SegmentationMap:
    """Logits of any size as a map of an image, as those of a refinement.

    The truth is written in, and its exhaustive classes are excluded elsewhere.
    """
    layers = Layers(logits)
    return SegmentationMap(layers, truth, Status(0, 0, True), guide=Guide.of(image, layers.grid))
