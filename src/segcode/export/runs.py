"""Masks as run lengths, and label images as COCO annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.errors import DataError
from segcode.tensors import LabelImage


def encode_runs(mask: Bool[ndarray, "H W"]) -> list[int]:
    """Lengths of the runs of a mask, by turns False and True, column after column: COCO's uncompressed RLE."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs: list[int] = np.diff(edges, prepend=0, append=flat.size).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def decode_runs(runs: Sequence[int], size: tuple[int, int]) -> Bool[ndarray, "H W"]:
    """The mask of (rows, columns) whose runs these are.

    Raises:
        DataError: if they do not add up to its pixels.
    """
    if sum(runs) != math.prod(size) or min(runs, default=0) < 0:
        raise DataError(f"the runs of a mask add up to {sum(runs)} pixels, not to {size[0]} x {size[1]}: give them all")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F")


def coco_id(name: str) -> int:
    """The id of an image that is known by a name, so that data sets of one image each can be joined: below 2^44."""
    return int.from_bytes(sha256(name.encode()).digest()[:8]) >> 20


def coco(name: str, labels: LabelImage, classes: ClassSet, image_id: int = 1) -> dict[str, Any]:
    """A label image as a COCO data set of one image: an annotation for each class that is there, as uncompressed RLE.

    A class's region is no single object, so `iscrowd` is 1. Category ids start at 1, in the order of the classes; the
    id of an annotation is 256 times that of the image, plus that of its category.

    Args:
        name: of the file.
        labels: class indices.
        classes: their names.
        image_id: below 2^44, so that programs that keep numbers as floats can hold those of the annotations.
    """
    height, width = labels.shape
    annotations: list[dict[str, Any]] = []
    for index in np.unique(labels[labels < len(classes)]).tolist():
        mask = labels == index
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top = int(columns[0]), int(rows[0])
        annotations.append(
            {
                "id": 256 * image_id + index + 1,
                "image_id": image_id,
                "category_id": index + 1,
                "segmentation": {"size": [height, width], "counts": encode_runs(mask)},
                "area": int(mask.sum()),
                "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
                "iscrowd": 1,
            }
        )
    return {
        "images": [{"id": image_id, "file_name": name, "height": height, "width": width}],
        "categories": [{"id": i + 1, "name": name, "supercategory": "stuff"} for i, name in enumerate(classes.names)],
        "annotations": annotations,
    }
