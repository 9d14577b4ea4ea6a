"""Accuracy along the borders of classes: logits brought to the image's size by the image, and bilinearly.

    python experiments/trimap.py camvid ROOT_OF_CAMVID
    python experiments/trimap.py streets

Every fourth image of CamVid val, with the logits as they are (2 pixels a cell) and as means over 4 and 8 pixels; twelve
drawn streets of 1080 x 1920 (10 pixels a cell). Accuracy in % within 3 and 5 pixels of a border, and everywhere (two
CPU cores, some minutes, November 2026):

                     bilinear               guided
    CamVid, 2    67.25  73.12  93.46    67.74  73.45  93.50
    CamVid, 4    66.35  72.46  93.42    67.54  73.27  93.53
    CamVid, 8    64.32  70.59  93.16    65.99  71.76  93.30
    streets, 10  52.93  57.26  87.88    60.47  63.37  88.36
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from segcode.data.sources import open_source
from segcode.evaluation.images import map_of
from segcode.interpolation import at_cells
from segcode.model.checkpoint import load_model
from segcode.refinement.refiner import as_segmenter
from segcode.streets.streets import Streets
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.truth import Truth

BANDS = (3, 5, np.inf)


def main() -> None:
    kind = sys.argv[1]
    segmenter = as_segmenter(load_model(kind).model)
    if kind == "camvid":
        source = open_source("camvid", Path(sys.argv[2]), "val")
        samples, sides = [source[number] for number in range(0, len(source), 4)], (2, 4, 8)
    else:
        streets = Streets(12, seed=77, height=1080, width=1920)
        samples, sides = [streets[number] for number in range(12)], (0,)
    found: dict[tuple[int, str], np.ndarray] = {}
    for sample in samples:
        size = sample.labels.shape
        base = segmenter.predict(sample.image).base_logits
        distance = np.where(sample.labels == IGNORE, np.nan, distance_transform_edt(~borders(sample.labels)))
        for side in sides:
            logits = base if side == 0 else at_cells(base, (size[0] // side, size[1] // side))
            guided = map_of(logits, Truth.empty(size, len(base)), sample.image)
            for name, one in (("bilinear", replace(guided, guide=None)), ("guided", guided)):
                right = one.labels == sample.labels
                counts = [(right[distance < band].sum(), (distance < band).sum()) for band in BANDS]
                found[side, name] = found.get((side, name), 0) + np.array(counts)
    for (side, name), counts in found.items():
        shares = " ".join(f"{100 * right / of:.2f}" for right, of in counts)
        print(f"{side or 'own'} pixels a cell, {name}: within 3 and 5 pixels and everywhere {shares}")


def borders(labels: LabelImage) -> np.ndarray:
    """The pixels on both sides of a border between two classes."""
    result = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        first, second = (np.moveaxis(labels, axis, 0)[part] for part in (slice(-1), slice(1, None)))
        differ = (first != second) & (first != IGNORE) & (second != IGNORE)
        turned = np.moveaxis(result, axis, 0)
        turned[:-1] |= differ
        turned[1:] |= differ
    return result


if __name__ == "__main__":
    with torch.inference_mode():
        main()
