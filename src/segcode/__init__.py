"""Correct the segmentation map of any model with a few clicks or strokes.

The names below are the public ones. They are imported when first used, because PyTorch takes seconds to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcode.classes import CAMVID, CITYSCAPES, ClassSet
    from segcode.field.constants import FieldConstants
    from segcode.model.checkpoint import load_model
    from segcode.model.config import ModelConfig
    from segcode.model.segcode import SegCode
    from segcode.prediction import InitialPrediction, Segmenter
    from segcode.refinement.refiner import Refiner
    from segcode.refinement.result import SegmentationMap
    from segcode.truth.mask import label_truth, mask_truth
    from segcode.truth.scribble import box_truth, point_truth, polygon_truth, scribble_truth
    from segcode.truth.truth import Truth

__all__ = [
    "CAMVID",
    "CITYSCAPES",
    "ClassSet",
    "FieldConstants",
    "InitialPrediction",
    "ModelConfig",
    "Refiner",
    "SegCode",
    "SegmentationMap",
    "Segmenter",
    "Truth",
    "box_truth",
    "label_truth",
    "load_model",
    "mask_truth",
    "point_truth",
    "polygon_truth",
    "scribble_truth",
]

_HOMES = {
    "CAMVID": "segcode.classes",
    "CITYSCAPES": "segcode.classes",
    "ClassSet": "segcode.classes",
    "FieldConstants": "segcode.field.constants",
    "InitialPrediction": "segcode.prediction",
    "ModelConfig": "segcode.model.config",
    "Refiner": "segcode.refinement.refiner",
    "SegCode": "segcode.model.segcode",
    "SegmentationMap": "segcode.refinement.result",
    "Segmenter": "segcode.prediction",
    "Truth": "segcode.truth.truth",
    "box_truth": "segcode.truth.scribble",
    "label_truth": "segcode.truth.mask",
    "load_model": "segcode.model.checkpoint",
    "mask_truth": "segcode.truth.mask",
    "point_truth": "segcode.truth.scribble",
    "polygon_truth": "segcode.truth.scribble",
    "scribble_truth": "segcode.truth.scribble",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segcode' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
