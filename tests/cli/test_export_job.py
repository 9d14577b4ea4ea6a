from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from command_line import FOUR, files_in, make_model_folder, read, segcode, street

from segcode.files import alone
from segcode.server.journal import Entry, Journal
from segcode.server.library import Photograph
from segcode.server.marks import Brush

CAR = FOUR.index("car")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def images(tmp_path):
    """Images `a`, `b` and `c`; the work on `a` is done."""
    folder = tmp_path / "images"
    for seed, name in enumerate("abc"):
        street(folder / f"{name}.png", seed)
    note(folder, "a", Entry(mark=Brush(label=CAR, radius=5, points=((10, 12), (45, 12)))), Entry(done=True))
    return folder


def note(folder: Path, name: str, *entries: Entry) -> None:
    photograph = Photograph.of(name, folder / f"{name}.png")
    Journal(folder / "annotations" / "journals" / f"{name}.jsonl", photograph, FOUR.names).append(*entries)


def export(images: Path, out: Path, model: Path, *options: object):
    return export_work(images / "annotations", "--model", model, "-o", out, *options)


def export_work(*arguments: object):
    with ThreadPoolExecutor() as elsewhere:  # playwright's loop may run in this thread
        return elsewhere.submit(segcode, "export-job", *arguments).result()


def test_a_folder_and_a_zip_have_the_same_files(model, images, tmp_path):
    for out in ("out", "out.zip"):
        ran = export(images, tmp_path / out, model)
        assert ran.code == 0, ran.err
        assert f"3 of 3 images are exported, to {tmp_path / out}" in ran.out
    names = {f"{kind}/{name}.png" for kind in ("labels", "truth") for name in "abc"}
    assert files_in(tmp_path / "out") == names | {"classes.toml", "id2label.json"}
    archive = zipfile.ZipFile(tmp_path / "out.zip")
    assert {name: archive.read(name) for name in archive.namelist()} == {
        name: (tmp_path / "out" / name).read_bytes() for name in files_in(tmp_path / "out")
    }
    assert (read(tmp_path / "out/labels/a.png")[10:15, 12:40] == CAR).all()
    assert (read(tmp_path / "out/truth/b.png") == 255).all()


def test_layouts_and_filters_are_those_of_the_page(model, images, tmp_path):
    note(images, "c", Entry(flagged=True))
    for only, name in (("done", "a"), ("flagged", "c")):
        assert export(images, tmp_path / only, model, "--only", only, "--layout", "voc").code == 0
        assert [path.name for path in (tmp_path / only / "SegmentationClass").iterdir()] == [f"{name}.png"]
    assert export(images, tmp_path / "coco", model, "--layout", "coco").code == 0
    assert (tmp_path / "coco" / "images").is_dir()


def test_what_cannot_be_exported_is_listed_and_the_rest_is_there(model, images, tmp_path):
    (images / "b.png").write_bytes(b"no image")
    ran = export(images, tmp_path / "out", model)
    assert ran.code == 2
    assert "2 of 3 images are exported" in ran.out
    assert "b.png is no image that can be read" in ran.err
    assert "b.png is no image that can be read" in (tmp_path / "out" / "left_out.txt").read_text()
    assert sorted(path.name for path in (tmp_path / "out" / "labels").iterdir()) == ["a.png", "c.png"]


def test_the_class_list_of_the_page_counts(model, images, tmp_path):
    tables = [f'[[class]]\nname = "{name}"\nid = {index + 5}\n' for index, name in enumerate(FOUR.names)]
    (images / "annotations" / "classes.toml").write_text("\n".join(tables).replace('"car"', '"vehicle"\nof = ["car"]'))
    ran = export(images, tmp_path / "renamed", model)
    assert "a.jsonl labels the classes road, sidewalk, car, sky" in ran.err  # nothing says that it is the same class
    text = "\n".join(tables).replace('"car"', '"vehicle"\nof = ["car"]\nwas = ["car"]')
    (images / "annotations" / "classes.toml").write_text(text)
    assert export(images, tmp_path / "out", model, "--layout", "ids").code == 0
    assert (np.unique(read(tmp_path / "out/truth/a.png")) == [0, 7]).all()
    assert "vehicle" in (tmp_path / "out/classes.toml").read_text()


def test_images_of_another_folder_are_named(model, images, tmp_path):
    images.rename(tmp_path / "elsewhere")
    work = tmp_path / "elsewhere" / "annotations"
    work.rename(tmp_path / "work")
    options = ("--model", model, "-o", tmp_path / "out")
    assert export_work(tmp_path / "work", tmp_path / "elsewhere", *options, "--only", "done").code == 0
    assert (tmp_path / "out" / "labels" / "a.png").exists()


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda images, out: (out.mkdir(), (out / "x").touch()), "is there already: give a new folder"),
        (
            lambda images, out: (images / "annotations").rename(images / "a"),
            "has no journals: give a folder of work",
        ),
    ],
)
def test_what_is_not_to_be_exported_is_named(model, images, tmp_path, prepare, why):
    prepare(images, tmp_path / "out")
    ran = export(images, tmp_path / "out", model)
    assert (ran.code, why in ran.err) == (2, True), ran.err


def test_the_work_of_a_page_that_is_open_is_left_alone(model, images, tmp_path):
    with alone(images / "annotations", "segcode annotate"):
        ran = export(images, tmp_path / "out", model)
    assert (ran.code, "is in use by another `segcode annotate`: end that one, or export" in ran.err) == (2, True)
    assert not (tmp_path / "out").exists()
