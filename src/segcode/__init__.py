"""Correct the segmentation map of any model with a few clicks or strokes.

The names below are the public ones. They are imported when first used, because PyTorch takes seconds to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcode.batch import BatchRefiner
    from segcode.classes import CAMVID, CITYSCAPES, ClassSet
    from segcode.field.constants import FieldConstants
    from segcode.model.checkpoint import LoadedModel, load_model
    from segcode.model.config import ModelConfig
    from segcode.model.segcode import SegCode
    from segcode.prediction import InitialPrediction, Segmenter
    from segcode.refinement.refiner import Refiner
    from segcode.refinement.result import SegmentationMap
    from segcode.segmenters.specification import OpenedSegmenter, open_segmenter
    from segcode.truth.mask import label_truth, mask_truth
    from segcode.truth.scribble import box_truth, point_truth, polygon_truth, scribble_truth
    from segcode.truth.truth import Truth

__all__ = [
    "CAMVID",
    "CITYSCAPES",
    "BatchRefiner",
    "ClassSet",
    "FieldConstants",
    "InitialPrediction",
    "LoadedModel",
    "ModelConfig",
    "OpenedSegmenter",
    "Refiner",
    "SegCode",
    "SegmentationMap",
    "Segmenter",
    "Truth",
    "box_truth",
    "label_truth",
    "load_model",
    "mask_truth",
    "open_segmenter",
    "point_truth",
    "polygon_truth",
    "scribble_truth",
]

_NAMES = {
    "batch": ("BatchRefiner",),
    "classes": ("CAMVID", "CITYSCAPES", "ClassSet"),
    "field.constants": ("FieldConstants",),
    "model.checkpoint": ("LoadedModel", "load_model"),
    "model.config": ("ModelConfig",),
    "model.segcode": ("SegCode",),
    "prediction": ("InitialPrediction", "Segmenter"),
    "refinement.refiner": ("Refiner",),
    "refinement.result": ("SegmentationMap",),
    "segmenters.specification": ("OpenedSegmenter", "open_segmenter"),
    "truth.mask": ("label_truth", "mask_truth"),
    "truth.scribble": ("box_truth", "point_truth", "polygon_truth", "scribble_truth"),
    "truth.truth": ("Truth",),
}
_HOMES = {name: f"segcode.{module}" for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segcode' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
