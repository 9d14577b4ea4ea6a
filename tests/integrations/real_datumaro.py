"""The real datumaro, which CVAT builds on, reads exported jobs: `make test-integrations`."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from datumaro import AnnotationType, Dataset

from segcode.classes import CITYSCAPES, ClassSet
from segcode.export.job import Finished, Job
from segcode.tensors import IGNORE

BLACK = ClassSet(("road", "sky", "tree"), ((0, 0, 0), (0, 0, 0), (9, 9, 9)))
"""Class colours that a reader of colours could not tell apart."""


def exported(folder: Path, layout: str, classes: ClassSet) -> dict[str, np.ndarray]:
    """The maps of a job of two images that is written to a folder, by their names."""
    random = np.random.default_rng(0)
    maps = {
        name: random.integers(0, len(classes), size, np.uint8) for name, size in (("a", (9, 14)), ("b/c 2", (30, 7)))
    }
    job = Job(layout, classes)
    files = []
    for name, labels in maps.items():
        labels[2:4, 3:] = IGNORE
        files += job.add(Finished(name, f"{name}.jpg", labels, labels))
    with ZipFile(folder / "job.zip", "w") as archive:
        for file in (*files, *job.end()):
            archive.writestr(*file)
        archive.extractall(folder / "job")
    return maps


def maps_of(folder: Path, reader: str, classes: ClassSet, maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The maps that datumaro reads in a folder, each of the size of the one that was written."""
    dataset = Dataset.import_from(str(folder), reader)
    names = [label.name for label in dataset.categories()[AnnotationType.label]]
    read = {}
    for item in dataset:
        labels = np.full(maps[item.id].shape, IGNORE, np.uint8)
        for annotation in (one for one in item.annotations if one.type == AnnotationType.mask):
            name = names[annotation.label]
            if name != "background":
                labels[annotation.image.astype(bool)] = classes.index(name)
        read[item.id] = labels
    return read


@pytest.mark.parametrize("classes", [CITYSCAPES, BLACK])
@pytest.mark.parametrize(("layout", "reader"), [("voc", "voc_segmentation"), ("coco", "coco_instances")])
def test_datumaro_reads_the_maps_of_an_export(tmp_path, layout, reader, classes):
    maps = exported(tmp_path, layout, classes)
    read = maps_of(tmp_path / "job", reader, classes, maps)
    assert read.keys() == maps.keys()
    for name, labels in maps.items():
        np.testing.assert_array_equal(read[name], labels)
