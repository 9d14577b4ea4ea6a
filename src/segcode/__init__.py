"""Semantic segmentation maps that can still be bent: a map is a function of the image and of an optimisable code.

The names below are the public ones. They are imported when first used, for PyTorch takes seconds to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcode.classes import CAMVID, CITYSCAPES, ClassSet
    from segcode.model.checkpoint import load_model
    from segcode.model.config import ModelConfig
    from segcode.model.segcode import SegCode
    from segcode.refinement.config import RefinementConfig
    from segcode.refinement.refiner import Refiner
    from segcode.truth.mask import label_truth, mask_truth
    from segcode.truth.scribble import point_truth, scribble_truth
    from segcode.truth.truth import Truth

__all__ = [
    "CAMVID",
    "CITYSCAPES",
    "ClassSet",
    "ModelConfig",
    "RefinementConfig",
    "Refiner",
    "SegCode",
    "Truth",
    "label_truth",
    "load_model",
    "mask_truth",
    "point_truth",
    "scribble_truth",
]

_HOMES = {
    "CAMVID": "segcode.classes",
    "CITYSCAPES": "segcode.classes",
    "ClassSet": "segcode.classes",
    "ModelConfig": "segcode.model.config",
    "RefinementConfig": "segcode.refinement.config",
    "Refiner": "segcode.refinement.refiner",
    "SegCode": "segcode.model.segcode",
    "Truth": "segcode.truth.truth",
    "label_truth": "segcode.truth.mask",
    "load_model": "segcode.model.checkpoint",
    "mask_truth": "segcode.truth.mask",
    "point_truth": "segcode.truth.scribble",
    "scribble_truth": "segcode.truth.scribble",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segcode' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
