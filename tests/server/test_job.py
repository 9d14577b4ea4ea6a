"""The whole job: notes, scores, void, uploads that go, exports of all, and label maps that come in."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from browser_side import FOUR, Server, pixels, png

from segcode.data.folder import read_class_file
from segcode.data.labels import write_labels
from segcode.errors import ConfigError
from segcode.export.runs import decode_runs
from segcode.segmenters.from_labels import LabelSegmenter
from segcode.server.app import create_app
from segcode.server.job import Which
from segcode.server.library import Library, Limits
from segcode.server.studio import Studio
from segcode.server.work import import_truth
from segcode.tensors import IGNORE

ROWS, COLUMNS = 40, 60


@pytest.fixture
def open_server(serve, tiny_model, tmp_path: Path):
    """A server over `a` and `b/c`; label maps in a folder are imported as truth first."""
    for name, seed in (("a.png", 0), ("b/c.png", 1)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))

    def open_(work: str = "work", labels: Path | None = None) -> Server:
        images = [tmp_path / "images" / name for name in ("a.png", "b/c.png")]
        library = Library(images, tmp_path / work / "uploads", Limits())
        studio = Studio(tiny_model, FOUR, library, tmp_path / work, 2**30)
        assert labels is None or import_truth(studio, labels) == []
        return serve(create_app(studio, "tiny"))

    return open_


@pytest.fixture
def server(open_server):
    return open_server()


def paint(server: Server, name: str, label: int | None, y: float, **changed) -> None:
    mark = {"kind": "brush", "label": label, "radius": 5, "points": [[10, y], [45, y]], **changed}
    assert server.post(f"/api/images/{name}/marks", json=mark).status_code == 201


def listed(server: Server, name: str) -> dict:
    return next(one for one in server.get("/api/images").json() if one["name"] == name)


def exported(server: Server, layout: str = "indices", only: str = "all") -> dict[str, bytes]:
    answer = server.get("/api/export", params={"layout": layout, "only": only})
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    return {name: archive.read(name) for name in archive.namelist()}


def unpack(files: dict[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        if name.endswith("/"):
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def map_of(server: Server, name: str, kind: str = "labels.png") -> np.ndarray:
    return pixels(server.get(f"/api/images/{name}/export/{kind}").content)


def test_a_flag_and_a_comment_are_kept_and_change_neither_marks_nor_state(server, open_server):
    paint(server, "a", 2, 12)
    server.post("/api/images/a/state", json={"done": True})
    noted = server.post("/api/images/a/note", json={"flagged": True, "comment": "the kerb?"}).json()
    assert (noted["flagged"], noted["comments"], noted["state"], noted["marks"]) == (True, {"": "the kerb?"}, "done", 1)
    server.post("/api/images/a/note", json={"comment": "it is"}, params={"by": "Bob"})
    server.post("/api/images/a/note", json={"comment": ""})
    again = listed(open_server(), "a")
    assert (again["flagged"], again["comments"], again["state"]) == (True, {"Bob": "it is"}, "done")


def test_a_comment_that_is_too_long_is_refused(server):
    assert server.post("/api/images/a/note", json={"comment": "x" * 2001}).status_code == 422


def test_a_score_is_known_until_the_marks_change(server):
    assert listed(server, "a")["uncertainty"] is None
    score = server.get("/api/images/a/score").json()
    assert score["uncertainty"] > 0
    assert 0 <= score["expected_change"] <= 1
    assert listed(server, "a")["uncertainty"] == score["uncertainty"]
    assert server.get("/health").json()["images_in_memory"] == 0
    paint(server, "a", 2, 12)
    assert listed(server, "a")["expected_change"] is None
    assert server.get("/api/images/a/score").json()["uncertainty"] < score["uncertainty"]


def test_void_labels_nothing_and_is_255_in_the_map(server):
    paint(server, "a", 2, 12)
    before, truth = map_of(server, "a"), map_of(server, "a", "truth.png")
    paint(server, "a", IGNORE, 30, radius=3)
    after = map_of(server, "a")
    void = after == IGNORE
    assert void.sum() > 150
    np.testing.assert_array_equal(after[~void], before[~void])
    np.testing.assert_array_equal(map_of(server, "a", "truth.png"), truth)
    paint(server, "a", None, 30, radius=3)
    np.testing.assert_array_equal(map_of(server, "a"), before)


def test_an_outline_of_void_and_of_all_void_is_void_alone(server):
    corners = [[5, 5], [30, 5], [30, 30], [5, 30]]
    mark = {"kind": "polygon", "label": IGNORE, "points": corners, "extent": "exhaustive"}
    assert server.post("/api/images/a/marks", json=mark).status_code == 201
    assert (map_of(server, "a")[6:29, 6:29] == IGNORE).all()


def test_an_upload_is_removed_and_an_image_of_the_folder_is_not(server, tmp_path):
    server.post("/api/images", params={"name": "Über: 1.JPG"}, content=png(3))
    name = "uploads/Über_ 1"
    assert listed(server, name)["uploaded"]
    paint(server, name, 2, 12)
    server.post(f"/api/images/{name}/state", json={"done": True})
    assert server.post(f"/api/images/{name}/remove").status_code == 204
    assert server.get(f"/api/images/{name}/document").status_code == 404
    assert [path.name for path in (tmp_path / "work").rglob("Über*")] == ["Über_ 1.jsonl"]  # its marks
    refused = server.post("/api/images/a/remove")
    assert (refused.status_code, "was not dropped on the page" in refused.json()["detail"]) == (409, True)
    assert (tmp_path / "images" / "a.png").exists()


def test_uploads_are_exported_by_the_names_that_their_owner_gave_them(server):
    for name in ("IMG_7.JPG", "a.png", "IMG_7.JPG"):
        server.post("/api/images", params={"name": name}, content=png(4))
    names = [
        image["file_name"]
        for image in json.loads(exported(server, "coco")["annotations/instances_default.json"])["images"]
    ]
    assert names == ["a.png", "b/c.png", "IMG_7.JPG", "uploads/a.png", "IMG_7-2.JPG"]  # the folder has an a.png, too
    answer = server.get("/api/images/uploads/IMG_7/export/labels.png")
    assert 'filename="IMG_7_labels.png"' in answer.headers["content-disposition"]


def test_an_export_has_the_images_that_are_asked_for(server):
    paint(server, "a", 2, 12)
    server.post("/api/images/b/c/note", json={"flagged": True})
    has = {only: sorted(n[7:-4] for n in exported(server, only=only) if n[:7] == "labels/")
           for only in get_args(Which)}  # fmt: skip
    assert has == {
        "all": ["a", "b/c"],
        "to do": ["a", "b/c"],
        "untouched": ["b/c"],
        "in work": ["a"],
        "sent back": [],
        "done": [],
        "to review": [],
        "accepted": [],
        "flagged": ["b/c"],
    }


@pytest.mark.parametrize(
    ("layout", "ids"), [("indices", (0, 1, 2, 3)), ("ids", FOUR.raw_ids), ("voc", (1, 2, 3, 4)), ("coco", (1, 2, 3, 4))]
)
def test_every_export_says_what_its_ids_mean(server, tmp_path, layout, ids):
    files = exported(server, layout)
    known = read_class_file(unpack(files, tmp_path / "out") / "classes.toml")
    assert (known.classes.names, known.classes.raw_ids, known.classes.colours) == (FOUR.names, ids, FOUR.colours)
    assert json.loads(files["id2label.json"]) == {str(i): name for i, name in zip(ids, FOUR.names, strict=True)}


def test_what_cannot_be_exported_is_named_and_the_rest_is_there(server, tmp_path):
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    files = exported(server)
    assert "labels/b/c.png" in files
    assert "labels/a.png" not in files
    assert b"a.png is no image that can be read" in files["left_out.txt"]


@pytest.mark.parametrize("layout", ["indices", "ids"])
@pytest.mark.parametrize("done", [False, True])
def test_an_export_that_is_imported_again_gives_the_same_maps_and_truth(server, open_server, tmp_path, layout, done):
    for name in ("a", "b/c"):
        paint(server, name, 2, 12)
        paint(server, name, IGNORE, 30)
        server.post(f"/api/images/{name}/state", json={"done": done})
    folder = unpack(exported(server, layout), tmp_path / "out")
    maps, truth = open_server("from_maps", folder / "labels"), open_server("from_truth", folder / "truth")
    for name in ("a", "b/c"):
        np.testing.assert_array_equal(map_of(maps, name), map_of(server, name))
        np.testing.assert_array_equal(map_of(truth, name, "truth.png"), map_of(server, name, "truth.png"))
    first, again = exported(maps, layout), exported(server, layout)
    assert first["labels/a.png"] == again["labels/a.png"]


def test_the_layout_of_voc_is_read_back_as_truth_and_as_an_initial_prediction(server, open_server, tmp_path):
    for name in ("a", "b/c"):
        paint(server, name, IGNORE, 30)
    folder = unpack(exported(server, "voc"), tmp_path / "out")
    maps = LabelSegmenter(folder / "SegmentationClass", read_class_file(folder / "classes.toml"), 0.9, print)
    truth = open_server("from_maps", folder / "SegmentationClass")
    for name in ("a", "b/c"):
        labels = map_of(server, name)
        assert (labels == IGNORE).any()
        np.testing.assert_array_equal(maps.read(name).labels, labels)
        known = labels != IGNORE  # a picture of another program's layout does not say that 255 was painted
        np.testing.assert_array_equal(map_of(truth, name)[known], labels[known])
        np.testing.assert_array_equal(map_of(truth, name, "truth.png"), labels)


def test_the_runs_of_coco_are_the_maps(server, tmp_path):
    paint(server, "a", IGNORE, 30)
    content = json.loads(exported(server, "coco")["annotations/instances_default.json"])
    for image in content["images"]:
        labels = np.full((image["height"], image["width"]), IGNORE, np.uint8)
        for one in content["annotations"]:
            if one["image_id"] == image["id"]:
                labels[decode_runs(one["segmentation"]["counts"], labels.shape)] = one["category_id"] - 1
        np.testing.assert_array_equal(labels, map_of(server, image["file_name"].removesuffix(".png")))


def test_label_maps_leave_images_alone_that_somebody_worked_on(server, open_server, tmp_path):
    paint(server, "a", 2, 12)
    for name in ("a", "b/c"):
        write_labels(tmp_path / "labels" / f"{name}.png", np.full((ROWS, COLUMNS), 1, np.uint8), FOUR)
    before = map_of(server, "a")
    again = open_server(labels=tmp_path / "labels")
    np.testing.assert_array_equal(map_of(again, "a"), before)
    assert (map_of(again, "b/c") == 1).all()


def test_label_maps_that_do_not_fit_are_reported(server, tmp_path):
    studio = server.app.state.studio
    write_labels(tmp_path / "labels" / "a.png", np.ones((3, 4), np.uint8), FOUR)
    size, missing = import_truth(studio, tmp_path / "labels")
    assert "have 3 x 4 pixels, and the image has 40 x 60" in size
    assert "no file for the image 'b/c'" in missing
    (tmp_path / "labels" / "classes.toml").write_text('[[class]]\nname = "x"\n[[class]]\nname = "y"\n')
    with pytest.raises(ConfigError, match="names the classes x, y, and the page has others"):
        import_truth(studio, tmp_path / "labels")
