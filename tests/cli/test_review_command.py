from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import FOUR, HEIGHT, WIDTH, files_in, read, segcode, street

from segcode.classes import ClassSet
from segcode.data.folder import class_file_text
from segcode.data.labels import write_labels
from segcode.segmenters.named_classes import ids_of
from segcode.server.journal import Entry, Journal
from segcode.server.library import Photograph
from segcode.tensors import IGNORE

NAMES = ("a", "b/c")


def map_of(top: int) -> np.ndarray:
    """Half a map of one class, and half of sky."""
    labels = np.full((HEIGHT, WIDTH), 3, np.uint8)
    labels[: HEIGHT // 2] = top
    return labels


@pytest.fixture
def images(tmp_path):
    for seed, name in enumerate(NAMES):
        street(tmp_path / "images" / f"{name}.png", seed)
    return tmp_path / "images"


@pytest.fixture
def work(images, tmp_path):
    """Makes a folder of work: Ann made maps of road, and Bob accepted them as he corrected them."""

    def make(name: str = "work", accepted: int = 1) -> Path:
        for image in NAMES:
            path = images / f"{image}.png"
            journal = Journal(tmp_path / name / "journals" / f"{image}.jsonl", Photograph.of(image, path), FOUR.names)
            journal.append(Entry(done=True, by="Ann"), Entry(review="accepted", by="Bob"))
            for kind, top in (("initial", 2), ("first", 0), ("labels", accepted)):
                write_labels(tmp_path / name / kind / f"{image}.png", map_of(top), FOUR, complete=True)
        return tmp_path / name

    return make


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


def test_a_review_compares_first_and_accepted_maps(work, tmp_path):
    ran = segcode("review", work(), "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    for text in ("2 images, maps first done and accepted: agreement 50.00 %", "sidewalk", "Ann", "Bob"):
        assert text in ran.out
    assert "void" not in ran.out
    tables = {f"{name}.csv" for name in ("annotators", "agreement", "images")}
    maps = {f"{kind}/{name}.png" for kind in ("maps", "consensus") for name in NAMES}
    assert files_in(tmp_path / "out") == {*tables, *maps, "review.json"}
    found = json.loads((tmp_path / "out/review.json").read_text())
    assert found["overall"]["agreement"] == 0.5
    assert {row["class"]: float(row["iou"]) for row in rows(tmp_path / "out/agreement.csv")} == {
        "road": 0, "sidewalk": 0, "sky": 1
    }  # fmt: skip
    assert [(row["name"], row["finished"], row["accepted"]) for row in rows(tmp_path / "out/annotators.csv")] == [
        ("Ann", "2", "2"), ("Bob", "0", "0")
    ]  # fmt: skip
    consensus = read(tmp_path / "out/consensus/b/c.png")
    assert set(np.unique(consensus[: HEIGHT // 2])) == {IGNORE}
    assert set(np.unique(consensus[HEIGHT // 2 :])) == {3}


def test_a_review_compares_two_folders(work):
    ran = segcode("review", work(), "--other", work("other", accepted=1))
    assert ran.code == 0, ran.err
    assert "2 images, maps of two people: agreement 100.00 %, kappa 1.000" in ran.out


def test_classes_are_those_of_the_class_file(work):
    folder = work()
    listed = ClassSet((*FOUR.names, "kerb"), (*FOUR.colours, (1, 2, 3)))
    (folder / "classes.toml").write_text(class_file_text(ids_of(listed).tables, [IGNORE]))
    write_labels(folder / "labels/a.png", map_of(4), listed, complete=True)
    ran = segcode("review", folder)
    assert ran.code == 0, ran.err
    assert "kerb" in ran.out
    (folder / "classes.toml").unlink()
    ran = segcode("review", folder)
    assert (ran.code, "labels/a.png was written for other classes, and has 'kerb'" in ran.err) == (2, True)


def test_honeypots_are_measured(work, images, tmp_path):
    pots = tmp_path / "pots"
    street(pots / "images/other name.png", 1)  # the content of b/c
    write_labels(pots / "labels/other name.png", np.where(map_of(0) == 0, np.uint8(0), np.uint8(IGNORE)), FOUR)
    (pots / "classes.toml").write_text(class_file_text(ids_of(FOUR).tables, [IGNORE]))
    ran = segcode("review", work(), "--honeypots", pots, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert rows(tmp_path / "out/honeypots.csv") == [
        {"name": "Ann", "honeypots": "1", "accuracy": "1.0", "mean_iou": "1.0", "gained": "1.0"}
    ]
    assert "First maps of honeypots" in ran.out


def test_what_is_damaged_is_named_and_the_rest_is_reviewed(work):
    folder = work()
    (folder / "journals/x.jsonl").write_text("nonsense\n")
    (folder / "first/a.png").unlink()
    ran = segcode("review", folder)
    assert ran.code == 2
    assert "x.jsonl: line 1 is damaged" in ran.err
    assert "first/a.png is missing" in ran.err
    assert "1 images, maps first done and accepted" in ran.out


def test_what_is_no_folder_of_work_is_refused(tmp_path, work):
    ran = segcode("review", tmp_path)
    assert (ran.code, "has no journals: give a folder of work of `segcode annotate`" in ran.err) == (2, True)
    (tmp_path / "journals").mkdir()
    ran = segcode("review", tmp_path)
    assert (ran.code, "has no work on any image yet" in ran.err) == (2, True)
    ran = segcode("review", work(), "--other", tmp_path / "nowhere")
    assert (ran.code, "nowhere has no journals" in ran.err) == (2, True)


def test_folders_of_other_images_have_nothing_to_compare(work, tmp_path):
    (tmp_path / "empty/journals").mkdir(parents=True)
    ran = segcode("review", work(), "--other", tmp_path / "empty")
    assert (ran.code, "No image is done in both folders." in ran.out) == (0, True)
