from __future__ import annotations

import numpy as np
import pytest
from command_line import FOUR, HEIGHT, WIDTH, files_in, make_model_folder, read, save, segcode, street

from segcode.tensors import IGNORE

CAR = FOUR.index("car")
ENDINGS = ("labels", "overlay", "uncertainty")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a", "b", "c"):
        street(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


def partial(path, size=(HEIGHT, WIDTH), value=CAR):
    path.parent.mkdir(exist_ok=True)
    labels = np.full(size, IGNORE, np.uint8)
    labels[10:20, 10:30] = value
    return save(path, labels)


def test_each_image_is_refined_by_the_labels_of_its_name(model, images, tmp_path):
    for name in ("a", "c"):
        partial(tmp_path / "known" / f"{name}.png")
    ran = segcode("refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "2 of 3 images are refined, 1 have no labels and are predicted" in ran.out
    assert files_in(tmp_path / "out") == {f"{name}_{ending}.png" for name in "abc" for ending in ENDINGS}
    one = segcode(
        "refine", images / "a.png", "--labels", tmp_path / "known" / "a.png", "--model", model, "-o", tmp_path / "one"
    )
    assert one.code == 0, one.err
    together, alone = (read(tmp_path / folder / "a_labels.png") for folder in ("out", "one"))
    assert (together == alone).all()
    assert (together[10:20, 10:30] == CAR).all()


def test_what_does_not_fit_is_told_and_does_not_stop_the_others(model, images, tmp_path):
    partial(tmp_path / "known" / "a.png", size=(5, 40))
    partial(tmp_path / "known" / "b.png", value=77)
    partial(tmp_path / "known" / "c.png")
    (images / "d.png").write_bytes(b"no picture")
    ran = segcode("refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "1 of 4 images are refined, 0 have no labels" in ran.out
    for name in ("a.png is 40 x 5 pixels", "b.png", "d.png"):
        assert name in ran.err
    assert files_in(tmp_path / "out") == {f"c_{ending}.png" for ending in ENDINGS}


def test_a_folder_without_any_of_the_labels_is_refused(model, images, tmp_path):
    partial(tmp_path / "known" / "other.png")
    ran = segcode("refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "has no a.png, nor labels of any other image" in ran.err
    assert not (tmp_path / "out").exists()


def test_labels_are_not_overwritten(model, images, tmp_path):
    partial(tmp_path / "known" / "a.png")
    street(images / "a_labels.png")
    ran = segcode("refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", images)
    assert ran.code == 2
    assert "is an input and would be overwritten" in ran.err
