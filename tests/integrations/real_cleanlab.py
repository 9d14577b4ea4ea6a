"""The real cleanlab finds wrong labels from segcode's arrays: `make test-integrations`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cleanlab.segmentation.filter import find_label_issues
from cleanlab.segmentation.rank import get_label_quality_scores

from segcode.classes import CAMVID
from segcode.data.sources import open_source
from segcode.integrations.cleanlab import label_arrays
from segcode.model.checkpoint import load_model
from segcode.refinement.refiner import Refiner
from segcode.tensors import IGNORE

SKY, CAR = CAMVID.index("sky"), CAMVID.index("car")
STREETS = open_source("streets", None, "test")
WRONG = 1
BOX = slice(10, 40), slice(100, 200)


class WithAnError:
    """Three streets; in the second, a piece of the sky is labelled as a car, and the first row is void in each."""

    classes = CAMVID
    names = STREETS.names[:3]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int):
        sample = STREETS[index]
        labels = sample.labels.copy()
        if index == WRONG:
            labels[BOX][labels[BOX] == SKY] = CAR
        labels[0] = IGNORE
        return replace(sample, labels=labels)


def test_a_wrong_piece_of_sky_is_found():
    arrays = label_arrays(Refiner(load_model("streets")), WithAnError(), CAMVID)
    issues = find_label_issues(*arrays, n_jobs=1, verbose=False)
    assert issues.shape == arrays.labels.shape
    wrong = np.zeros(issues.shape, bool)
    wrong[WRONG][BOX] = STREETS[WRONG].labels[BOX] == SKY
    assert wrong.sum() > 1000
    assert issues[wrong].mean() > 0.9
    assert issues[~wrong].mean() < 0.1
    assert not issues[:, 0].any()
    scores, _ = get_label_quality_scores(*arrays, verbose=False)
    assert scores.argmin() == WRONG
