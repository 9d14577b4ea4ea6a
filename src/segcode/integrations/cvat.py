"""Auto-annotation functions of CVAT: `cvat-cli function create-native --function-module segcode.integrations.cvat`.

`cvat_sdk.auto_annotation.interface` describes both kinds of functions and what CVAT gives them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import PIL.Image
from cvat_sdk.masks import encode_mask

from segcode.classes import ClassSet
from segcode.data.files import name_of
from segcode.field.constants import SHIPPED, FieldConstants, load_constants
from segcode.prediction import Segmenter
from segcode.refinement.refiner import Refiner
from segcode.segmenters.specification import open_segmenter
from segcode.tensors import Image
from segcode.truth.scribble import scribble_truth
from segcode.truth.truth import Truth

_RADIUS: Final = 3.0  # of a point, in pixels


class OpenImage(NamedTuple):
    """An image that is set in a refiner of its own: CVAT keeps some, and returns to them."""

    refiner: Refiner
    size: tuple[int, int]


class Detector:
    """The map of an image, as one mask for each class that is there."""

    def __init__(self, segmenter: Segmenter, constants: FieldConstants, classes: ClassSet) -> None:
        """Take a segmenter and the classes that its indices mean."""
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[cvataa.label_spec(name, index, type="mask") for index, name in enumerate(classes.names)]
        )
        self._refiner = Refiner(segmenter, constants)

    def detect(self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image) -> list[Any]:
        """The masks. Raises BadFunctionError if polygons are asked for."""
        if context.conv_mask_to_poly:
            raise cvataa.BadFunctionError("segcode gives masks, since polygons have no holes: do not convert them")
        frame = Path(context.frame_name)
        labels = self._refiner.set_image(_rgb(image), (frame.parent / name_of(frame)).as_posix()).labels
        return [cvataa.mask(index, encode_mask(labels == index)) for index in np.unique(labels).tolist()]


class Interactor:
    """The mask of one class, corrected by points that are of this class or are not."""

    spec = cvataa.InteractionFunctionSpec(min_pos_points=1, min_neg_points=0)

    def __init__(self, segmenter: Segmenter, constants: FieldConstants, classes: ClassSet, label: str) -> None:
        """Take a segmenter and its classes, and the one that is annotated."""
        self._segmenter, self._constants = segmenter, constants
        self._class, self._classes = classes.index(label), len(classes)

    def preprocess_image(self, context: cvataa.InteractionFunctionContext, image: PIL.Image.Image) -> OpenImage:
        """What does not depend on the points."""
        refiner = Refiner(self._segmenter, self._constants)
        refiner.set_image(_rgb(image))
        return OpenImage(refiner, (image.height, image.width))

    def detect(
        self, context: cvataa.InteractionFunctionContext, pp_image: OpenImage, prompts: cvataa.InteractionPrompts
    ) -> list[Any]:
        """The mask of the class in the map that these points, each in (x, y), give."""
        refiner, size = pp_image
        truth = Truth.empty(size, self._classes)
        for points, excluded in ((prompts.pos_points, False), (prompts.neg_points, True)):
            for x, y in points:
                truth += scribble_truth([(y, x)], self._class, self._classes, size, _RADIUS, excluded)
        mask = refiner.refine(truth).labels == self._class
        return [cvataa.InteractionResultShape(type="mask", points=encode_mask(mask))]


def create(
    segmenter: str = "camvid",
    classes: str | None = None,
    constants: str | None = None,
    device: str = "cpu",
    label: str | None = None,
) -> Detector | Interactor:
    """A function for CVAT; its labels are the classes, by name.

    Args:
        segmenter: as `open_segmenter` takes it, such as "onnx:net.onnx" or the name of a model.
        classes: likewise, where the segmenter does not say them.
        constants: the folder of `segcode fit`; the shipped ones without it.
        device: that networks run on.
        label: makes the function interactive: the class that its points are of, and whose mask it gives.

    Raises:
        ConfigError: if there is no such segmenter or class.
        CheckpointError: if a model or the constants are missing or damaged.
    """
    opened = open_segmenter(segmenter, device, classes=classes)
    chosen = load_constants(Path(constants) if constants else SHIPPED)
    if label is None:
        return Detector(opened.segmenter, chosen, opened.classes)
    return Interactor(opened.segmenter, chosen, opened.classes, label)


def _rgb(image: PIL.Image.Image) -> Image:
    return np.asarray(image.convert("RGB"))
