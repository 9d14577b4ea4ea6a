"""How sure an old annotation should count: clicks on label maps with errors, by `confidence`.

Six drawn streets, whose maps are moved by three pixels and have four regions renamed: 9.5 % of the pixels are wrong.
After five clicks, in % of the wrong pixels (half a minute on two CPU cores, November 2026):

    confidence   0.8    0.9   0.95   0.98   0.99
    repaired    38.0   40.1   33.8   26.1   23.4
    broken      32.3    4.7    0.8    0.4    0.2

So 0.95 is the default, though 0.9 is the share that is right: what an annotator did before should stay.

    python experiments/old_labels.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import label as connected

from segcode.classes import CAMVID
from segcode.data.labels import write_labels
from segcode.evaluation.annotator import clicked
from segcode.evaluation.images import labelled_images
from segcode.refinement.refiner import Refiner
from segcode.segmenters.specification import open_segmenter
from segcode.streets import Streets
from segcode.tensors import LabelImage


def spoilt(labels: LabelImage, draw: np.random.Generator) -> LabelImage:
    """Labels moved by three pixels, with four regions of 300 to 6000 pixels renamed."""
    wrong = np.roll(labels, 3, axis=1)
    regions = []
    for index in np.unique(labels):
        parts, count = connected(labels == index)
        regions += [parts == part for part in range(1, count + 1) if 300 < (parts == part).sum() < 6000]
    draw.shuffle(regions)
    for region in regions[:4]:
        wrong[region] = draw.integers(len(CAMVID))
    return wrong


def main() -> None:
    """Print a line for each confidence."""
    streets, draw = Streets(6, 3, 240, 320), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for street in (streets[index] for index in range(len(streets))):
            write_labels(Path(folder) / f"{street.name}.png", spoilt(street.labels, draw), CAMVID)
        for confidence in (0.8, 0.9, 0.95, 0.98, 0.99):
            segmenter = open_segmenter(f"labels:{folder}", classes="camvid", confidence=confidence).segmenter
            refiner = Refiner(segmenter)
            wrong = repaired = broken = 0
            for image in labelled_images(refiner, streets, CAMVID):
                truth = clicked(refiner, image, 5, 3.0)
                was, now = image.initial.labels == image.labels, refiner.refine(truth).labels == image.labels
                wrong, repaired, broken = (
                    wrong + (~was).sum(),
                    repaired + (now & ~was).sum(),
                    broken + (was & ~now).sum(),
                )
            print(f"{confidence}: {repaired / wrong:.1%} of {wrong} repaired, {broken / wrong:.1%} broken")


if __name__ == "__main__":
    main()
