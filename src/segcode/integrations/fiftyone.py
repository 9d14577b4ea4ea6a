"""Maps in FiftyOne: a model for `apply_model`, and the fields of a map that was refined elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone import Model, SamplesMixin

from segcode.data.files import name_of
from segcode.field.constants import SHIPPED, load_constants
from segcode.refinement.refiner import Refiner
from segcode.refinement.result import SegmentationMap
from segcode.segmenters.specification import open_segmenter
from segcode.tensors import Image


class SegcodeModel(SamplesMixin, Model):  # type: ignore[misc]
    """Predicts the map of an image and its uncertainty: `dataset.apply_model(model, label_field="segcode")`.

    Attributes:
        mask_targets: the name of each value of its masks, for `dataset.mask_targets`.
    """

    media_type = "image"
    ragged_batches = True
    transforms = None
    preprocess = False

    def __init__(
        self,
        segmenter: str = "camvid",
        classes: str | None = None,
        constants: str | None = None,
        device: str = "cpu",
    ) -> None:
        """Open a segmenter.

        Args:
            segmenter: as `open_segmenter` takes it, such as "onnx:net.onnx" or the name of a model.
            classes: likewise, where the segmenter does not say them.
            constants: the folder of `segcode fit`; the shipped ones without it.
            device: that networks run on.

        Raises:
            ConfigError: if there is no such segmenter, or no classes are found.
            CheckpointError: if a model or the constants are missing or damaged.
        """
        super().__init__()
        opened = open_segmenter(segmenter, device, classes=classes)
        self.mask_targets = dict(enumerate(opened.classes.names, 1))
        self._refiner = Refiner(opened.segmenter, load_constants(Path(constants) if constants else SHIPPED))

    def predict(self, image: Image, sample: fo.Sample | None = None) -> dict[str, Any]:
        """`fields_of` the map of an RGB image (H, W, 3); the sample's file has the name that files are found by."""
        name = None if sample is None else name_of(Path(sample.filepath))
        return fields_of(self._refiner.set_image(image, name))


def fields_of(refined: SegmentationMap) -> dict[str, Any]:
    """A map for `sample.add_labels(fields, "segcode")`: `map`, a Segmentation, and `uncertainty`, a Heatmap.

    The mask has 1 plus the class, since 0 is background in FiftyOne; the heat map has the entropy in nats.
    """
    highest = math.log(len(refined.logits))
    return {
        "map": fo.Segmentation(mask=refined.labels + 1),
        "uncertainty": fo.Heatmap(map=refined.entropy(), range=[0.0, highest]),
    }
