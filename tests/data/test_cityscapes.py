from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as official
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from layouts import make_cityscapes
from pictures import ids, save, to_train_ids
from PIL import Image as Pillow

from segcode.classes import CITYSCAPES
from segcode.data.cityscapes import open_cityscapes
from segcode.errors import ConfigError, DataError
from segcode.tensors import IGNORE


@pytest.fixture
def cityscapes_root(tmp_path: Path) -> Path:
    return make_cityscapes(tmp_path)


def test_the_class_table_is_the_official_one() -> None:
    trained = sorted((label for label in official if 0 <= label.trainId < IGNORE), key=lambda label: label.trainId)
    assert CITYSCAPES.names == tuple(label.name for label in trained)
    assert CITYSCAPES.colours == tuple(label.color for label in trained)
    assert CITYSCAPES.raw_ids == tuple(label.id for label in trained)


def test_every_official_id_becomes_its_train_id(cityscapes_root: Path) -> None:
    in_files = [label for label in official if label.id >= 0]
    name = "aachen_000000_000019"
    row = np.array([[label.id for label in in_files]], np.uint8)
    save(cityscapes_root / "gtFine/train/aachen" / f"{name}_gtFine_labelIds.png", row)
    save(cityscapes_root / "leftImg8bit/train/aachen" / f"{name}_leftImg8bit.png", np.zeros((*row.shape, 3), np.uint8))
    labels = open_cityscapes(cityscapes_root, "train")[0].labels
    assert labels is not None
    assert labels.tolist() == [[label.trainId for label in in_files]]


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from([*range(19), IGNORE])))
def test_raw_ids_round_trip(labels: np.ndarray) -> None:
    assert np.array_equal(to_train_ids(CITYSCAPES, CITYSCAPES.to_raw(labels)), labels)


def test_names_are_city_sequence_and_frame(cityscapes_root: Path) -> None:
    source = open_cityscapes(cityscapes_root, "val")
    assert source.names == ("ulm_000000_000019", "ulm_000001_000019")
    assert source.classes == CITYSCAPES


def test_both_kinds_of_label_files_give_the_same_labels(cityscapes_root: Path) -> None:
    from_label_ids = open_cityscapes(cityscapes_root, "train")[0].labels
    for path in cityscapes_root.glob("gtFine/train/*/*_labelIds.png"):
        path.unlink()
    from_train_ids = open_cityscapes(cityscapes_root, "train")[0].labels
    assert from_label_ids is not None
    assert np.array_equal(from_label_ids, from_train_ids)


def test_one_missing_label_file_is_named_and_not_replaced_by_the_other_kind(cityscapes_root: Path) -> None:
    (cityscapes_root / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(DataError, match=r"aachen_000000_000019_gtFine_labelIds\.png is missing"):
        open_cityscapes(cityscapes_root, "train")[0]


def test_the_test_split_has_no_labels(cityscapes_root: Path) -> None:
    source = open_cityscapes(cityscapes_root, "test")
    assert [source[i].labels for i in range(len(source))] == [None, None]


def test_an_id_beyond_the_table_is_refused(cityscapes_root: Path) -> None:
    path = cityscapes_root / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    save(path, ids(0, [34], *np.asarray(Pillow.open(path)).shape))
    with pytest.raises(DataError, match="has the ids 34"):
        open_cityscapes(cityscapes_root, "train")[0]


def test_an_unknown_split_or_folder_is_an_error(cityscapes_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no split 'valid': did you mean 'val'\?"):
        open_cityscapes(cityscapes_root, "valid")
    with pytest.raises(DataError, match="has no images"):
        open_cityscapes(tmp_path / "elsewhere", "train")
