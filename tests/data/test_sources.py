from pathlib import Path

import numpy as np
import pytest
from layouts import make_cityscapes, make_folder, make_segnet

from segcode.classes import CAMVID, CITYSCAPES
from segcode.data.sources import STREETS, open_source
from segcode.errors import ConfigError


def test_camvid_opens(tmp_path: Path) -> None:
    assert open_source("camvid", make_segnet(tmp_path), "val", 6, 8).classes == CAMVID


def test_cityscapes_opens(tmp_path: Path) -> None:
    assert open_source("cityscapes", make_cityscapes(tmp_path), "val", 6, 8).classes == CITYSCAPES


def test_a_folder_opens(tmp_path: Path) -> None:
    assert open_source("folder", make_folder(tmp_path), "all", 6, 8).classes.names == ("road", "car")


def test_streets_are_drawn_in_the_size_that_is_asked_for() -> None:
    source = open_source("streets", None, "val", 48, 64)
    assert len(source) == STREETS["val"][1]
    assert source[0].image.shape == (48, 64, 3)


def test_the_splits_of_the_streets_differ() -> None:
    first = [open_source("streets", None, split, 48, 64)[0] for split in STREETS]
    assert not np.array_equal(first[0].image, first[1].image)
    assert not np.array_equal(first[1].image, first[2].image)


def test_wrong_kinds_splits_and_roots_give_the_cure() -> None:
    with pytest.raises(ConfigError, match=r"no data set is called 'camvit': did you mean 'camvid'\?"):
        open_source("camvit", None, "train", 6, 8)
    with pytest.raises(ConfigError, match=r"no split 'vals': did you mean 'val'\?"):
        open_source("streets", None, "vals", 6, 8)
    with pytest.raises(ConfigError, match="'camvid' is read from files: give the folder"):
        open_source("camvid", None, "train", 6, 8)
