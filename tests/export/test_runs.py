from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as official
from pycocotools.coco import COCO

from segcode.classes import CAMVID
from segcode.errors import DataError
from segcode.export.runs import coco, decode_runs, encode_runs
from segcode.tensors import IGNORE

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_masks_survive_their_runs(mask):
    assert np.array_equal(decode_runs(encode_runs(mask), mask.shape), mask)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_the_official_tools_read_the_same_mask(mask):
    runs = {"size": list(mask.shape), "counts": encode_runs(mask)}
    packed = official.frPyObjects(runs, *mask.shape)
    assert np.array_equal(official.decode(packed).astype(bool), mask)
    assert packed == official.encode(np.asfortranarray(mask.astype(np.uint8)))


def test_runs_go_down_the_columns_and_begin_with_false():
    assert encode_runs(np.array([[False, True], [True, True]])) == [1, 3]
    assert encode_runs(np.array([[True, False], [True, False]])) == [0, 2, 2]
    assert encode_runs(np.zeros((2, 3), bool)) == [6]


@pytest.mark.parametrize("runs", [(), (5,), (7,), (3, 4), (8, -2)])
def test_runs_that_do_not_add_up_are_refused(runs):
    with pytest.raises(DataError, match=r"add up to .* not to 2 x 3"):
        decode_runs(runs, (2, 3))


@pytest.fixture
def labels():
    labels = np.random.default_rng(0).integers(0, 5, (7, 9), np.uint8)
    labels[2:4, 3:8] = 9
    labels[0] = IGNORE
    return labels


def test_the_official_reader_finds_every_class_where_it_is(labels):
    reader = COCO()
    reader.dataset = coco("street.png", labels, CAMVID)
    reader.createIndex()
    assert [category["name"] for category in reader.loadCats(reader.getCatIds())] == list(CAMVID.names)
    assert reader.loadImgs(reader.getImgIds()) == [{"id": 1, "file_name": "street.png", "height": 7, "width": 9}]
    annotations = reader.loadAnns(reader.getAnnIds(imgIds=1))
    assert [annotation["category_id"] - 1 for annotation in annotations] == [0, 1, 2, 3, 4, 9]
    for annotation in annotations:
        mask = reader.annToMask(annotation)
        packed = official.encode(np.asfortranarray(mask))
        assert np.array_equal(mask, labels == annotation["category_id"] - 1)
        assert annotation["area"] == official.area(packed)
        assert annotation["bbox"] == official.toBbox(packed).tolist()


def test_an_image_without_a_class_has_no_annotation():
    empty = coco("a.png", np.full((2, 3), IGNORE, np.uint8), CAMVID)
    assert empty["annotations"] == []
    assert len(empty["categories"]) == 11
