from __future__ import annotations

import csv

import numpy as np
import pytest
from command_line import FOUR, HEIGHT, WIDTH, files_in, make_model_folder, read, save, segcode, street

from segcode.classes import ClassSet
from segcode.data.images import read_image
from segcode.data.labels import write_labels
from segcode.model.checkpoint import load_model
from segcode.refinement.refiner import Refiner
from segcode.tensors import IGNORE

CAR = FOUR.index("car")
ENDINGS = ("labels", "overlay", "uncertainty")
ORDER = "manifest.csv"
KEPT = {ORDER, ".lock"}


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
    assert "3 of 3 images have maps, 2 are refined by labels, in" in ran.out
    assert files_in(tmp_path / "out") == {f"{name}_{ending}.png" for name in "abc" for ending in ENDINGS} | KEPT
    one = segcode(
        "refine", images / "a.png", "--labels", tmp_path / "known" / "a.png", "--model", model, "-o", tmp_path / "one"
    )
    assert one.code == 0, one.err
    together, alone = (read(tmp_path / folder / "a_labels.png") for folder in ("out", "one"))
    assert (together == alone).all()
    assert (together[10:20, 10:30] == CAR).all()


def test_what_does_not_fit_is_listed_at_the_end_and_does_not_stop_the_others(model, images, tmp_path):
    partial(tmp_path / "known" / "a.png", size=(5, 40))
    partial(tmp_path / "known" / "b.png", value=77)
    partial(tmp_path / "known" / "c.png")
    (images / "d.png").write_bytes(b"no picture")
    ran = segcode("refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "1 of 4 images have maps, 1 are refined by labels" in ran.out
    for name in ("a.png is 40 x 5 pixels", "b.png", "d.png"):
        assert name in ran.err
    assert files_in(tmp_path / "out") == {f"c_{ending}.png" for ending in ENDINGS} | KEPT


def test_the_images_are_ordered_by_the_change_that_a_label_is_expected_to_make(model, images, tmp_path):
    street(images / "b.png", seed=7)
    partial(tmp_path / "known" / "a.png")
    ran = segcode("refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    with (tmp_path / "out" / ORDER).open(newline="") as file:
        rows = list(csv.DictReader(file))
    changes = {row["image"]: float(row["expected_change"]) for row in rows}
    assert list(changes.values()) == sorted(changes.values(), reverse=True)
    assert {row["image"]: int(row["labelled"]) for row in rows} == {"a": 200, "b": 0, "c": 0}
    refiner = Refiner(load_model(model).model)
    for name in "bc":
        refiner.set_image(read_image(images / f"{name}.png"))
        assert changes[name] == pytest.approx(refiner.expected_change(), abs=1e-6)
    assert [line.split()[-1] for line in ran.out.splitlines()[-3:]] == list(changes)


def test_an_exhaustive_class_is_in_its_labels_alone(model, images, tmp_path):
    partial(tmp_path / "known" / "a.png")
    options = ["--labels", tmp_path / "known", "--extent", "car=exhaustive", "--model", model]
    ran = segcode("refine-folder", images, *options, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[10:20, 10:30] = True
    assert np.array_equal(read(tmp_path / "out" / "a_labels.png") == CAR, expected)


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


def test_names_with_dots_and_other_endings_find_their_own_labels(model, tmp_path):
    names = ("cam.front.0001", "cam.front.0002", "IMG_1")
    for name in names:
        street(tmp_path / "images" / f"{name}.png")
    partial(tmp_path / "known" / "cam.front.0001.png", value=0)
    partial(tmp_path / "known" / "cam.front.0002.PNG", value=1)
    partial(tmp_path / "known" / "IMG_1.PNG", value=2)
    partial(tmp_path / "known" / "cam.front.png", value=3)
    options = ["--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out"]
    ran = segcode("refine-folder", tmp_path / "images", *options)
    assert ran.code == 0, ran.err
    assert "1 label files belong to none of the images, first" in ran.err
    for value, name in enumerate(names):
        assert (read(tmp_path / "out" / f"{name}_labels.png")[10:20, 10:30] == value).all()


def test_two_label_files_of_one_name_are_listed_and_their_image_is_not_taken_for_unlabelled(model, images, tmp_path):
    for name in ("a.png", "a.bmp", "b.png"):
        partial(tmp_path / "known" / name)
    ran = segcode("refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "a.bmp and " in ran.err
    assert "have one name, 'a'" in ran.err
    assert "2 of 3 images have maps, 1 are refined by labels" in ran.out
    assert files_in(tmp_path / "out") == {f"{name}_{ending}.png" for name in "bc" for ending in ENDINGS} | KEPT


def test_the_table_keeps_names_with_line_ends(model, tmp_path):
    for name in ("a\nb", 'c"d\x0b\u2028e', "f"):
        street(tmp_path / "images" / f"{name}.png")
    partial(tmp_path / "known" / "f.png")
    run = ["refine-folder", tmp_path / "images", "--labels", tmp_path / "known", "--model", model, "-o"]
    assert segcode(*run, tmp_path / "out").code == 0
    whole = (tmp_path / "out" / ORDER).read_bytes()
    ran = segcode(*run, tmp_path / "out", "--resume")
    assert "3 were there" in ran.out
    assert (tmp_path / "out" / ORDER).read_bytes() == whole


def test_a_run_that_was_killed_goes_on_with_what_is_missing(model, images, tmp_path):
    partial(tmp_path / "known" / "a.png")
    run = ["refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out"]
    assert segcode(*run).code == 0
    table = tmp_path / "out" / ORDER
    whole, kept = table.read_text(), (tmp_path / "out" / "a_labels.png").stat().st_mtime_ns
    (tmp_path / "out" / "b_overlay.png").unlink()
    lines = [line for line in whole.splitlines() if not line.startswith("c,")]
    table.write_text("\n".join(lines) + "\nc,0")
    ran = segcode(*run, "--resume")
    assert ran.code == 0, ran.err
    assert "3 of 3 images have maps, 1 are refined by labels, 1 were there" in ran.out
    assert table.read_text() == whole
    assert (tmp_path / "out" / "a_labels.png").stat().st_mtime_ns == kept
    assert (tmp_path / "out" / "b_overlay.png").exists()


def test_labels_that_segcode_wrote_for_another_order_of_classes_mean_the_same(model, images, tmp_path):
    other = ClassSet(FOUR.names[::-1], FOUR.colours[::-1])
    labels = np.full((HEIGHT, WIDTH), IGNORE, np.uint8)
    labels[10:20, 10:30] = other.index("car")
    write_labels(tmp_path / "known" / "a.png", labels, other)
    options = ["--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out"]
    ran = segcode("refine-folder", images, *options)
    assert ran.code == 0, ran.err
    assert (read(tmp_path / "out" / "a_labels.png")[10:20, 10:30] == CAR).all()


def test_labels_have_the_ids_of_their_class_file(model, images, tmp_path):
    ids = [f'[[class]]\nname = "{name}"\nid = {number}\n' for number, name in enumerate(FOUR.names, 1)]
    (tmp_path / "classes.toml").write_text("".join(["void = [0]\n", *ids]))
    partial(tmp_path / "known" / "a.png", value=CAR + 1)
    ran = segcode("refine-folder", images, "--labels", tmp_path / "known", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert (read(tmp_path / "out" / "a_labels.png")[10:20, 10:30] == CAR).all()


def test_a_map_by_older_labels_or_of_other_classes_is_not_kept(model, images, tmp_path):
    given = "refine-folder", images, "--labels", tmp_path / "known", "-o", tmp_path / "out", "--model"
    for name in ("a", "c"):
        partial(tmp_path / "known" / f"{name}.png")
    segcode(*given, model)
    partial(tmp_path / "known" / "a.png", value=CAR - 1)
    ran = segcode(*given, model, "--resume")
    assert "2 were there" in ran.out
    assert (read(tmp_path / "out" / "a_labels.png")[10:20, 10:30] == CAR - 1).all()
    other = make_model_folder(tmp_path / "other", ClassSet(FOUR.names[::-1], FOUR.colours))
    assert "has the classes road, sidewalk, car, sky, and the model" in segcode(*given, other, "--resume").err
