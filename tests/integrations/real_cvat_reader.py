"""The reader that CVAT's was made from, datumaro 0.3, reads exported jobs: `make test-integrations`.

CVAT's own is that version with changes, and is in no package index. Its importers of "Segmentation mask 1.1" and
"COCO 1.0" ask the environment for the format of the files, and read them as here.
"""

from __future__ import annotations

import numpy as np
import pytest
from datumaro.components.environment import Environment
from real_datumaro import BLACK, exported, maps_of

from segcode.classes import CITYSCAPES


@pytest.mark.parametrize("classes", [CITYSCAPES, BLACK])
@pytest.mark.parametrize(("layout", "reader"), [("voc", "voc"), ("coco", "coco_instances")])
def test_the_reader_of_cvat_recognises_and_reads_the_maps_of_an_export(tmp_path, layout, reader, classes):
    maps = exported(tmp_path, layout, classes)
    assert Environment().detect_dataset(str(tmp_path / "job")) == [layout]
    read = maps_of(tmp_path / "job", reader, classes, maps)
    assert read.keys() == maps.keys()
    for name, labels in maps.items():
        np.testing.assert_array_equal(read[name], labels)
