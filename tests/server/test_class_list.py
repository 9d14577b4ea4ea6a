"""The class list that the page writes: what it changes at once, what it refuses, and what a restart finds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_side import FOUR, Server, Tab, pixels, png

from segcode.data.folder import read_class_file
from segcode.server.app import create_app
from segcode.server.class_list import ClassList
from segcode.server.library import Library, Limits
from segcode.server.studio import Studio


@pytest.fixture
def open_server(serve, tiny_model, tmp_path: Path):
    """A server over `a` and `b`, which reads the class list of its folder of work."""
    for seed, name in enumerate("ab"):
        (tmp_path / f"{name}.png").write_bytes(png(seed))

    def open_() -> Server:
        library = Library([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "work" / "uploads", Limits())
        own = ClassList(tiny_model, FOUR, tmp_path / "work" / "classes.toml")
        classes = own.listed.classes
        studio = Studio(own.segmenter, classes, library, tmp_path / "work", 2**30, listed=own.listed, model="tiny")
        return serve(create_app(studio, "tiny", class_list=own))

    return open_


@pytest.fixture
def server(open_server):
    return open_server()


def tables(server: Server) -> list[dict[str, Any]]:
    """The class list, as the page sends it."""
    return [
        {key: one[key] for key in ("name", "colour", "id", "key", "of")} | {"was": one["was"] or []}
        for one in server.get("/api/model").json()["classes"]
    ]


def new(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "id": 99, "of": [], **values}


def changed(server: Server, classes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = server.post("/api/classes", json=classes)
    assert answer.status_code == 200, answer.json()
    return answer.json()["classes"]


def refusal(server: Server, classes: list[dict[str, Any]]) -> str:
    answer = server.post("/api/classes", json=classes)
    assert answer.status_code == 400
    return answer.json()["detail"]


def paint(server: Server, name: str, label: int, y: float = 12) -> None:
    mark = {"kind": "brush", "label": label, "radius": 5, "points": [[10, y], [45, y]]}
    assert server.post(f"/api/images/{name}/marks", json=mark).status_code == 201


def exported(server: Server, name: str, kind: str = "labels.png") -> np.ndarray:
    return pixels(server.get(f"/api/images/{name}/export/{kind}").content)


def test_names_colours_keys_and_ids_are_written_and_change_no_map(server, tmp_path):
    paint(server, "a", 2)
    before, classes = exported(server, "a"), tables(server)
    classes[2] |= {"name": "vehicle", "colour": [1, 2, 3], "key": "v", "id": 5, "was": ["car"]}
    answer = changed(server, classes)
    assert (answer[2]["name"], answer[2]["colour"], answer[2]["key"], answer[2]["id"]) == ("vehicle", [1, 2, 3], "v", 5)
    np.testing.assert_array_equal(exported(server, "a"), before)
    assert set(np.unique(exported(server, "a", "ids.png"))) <= {7, 8, 5, 23}
    kept = read_class_file(tmp_path / "work" / "classes.toml").tables
    assert json.loads(json.dumps(kept)) == tables(server)


def test_journals_of_former_names_and_fewer_classes_are_read_after_a_restart(server, open_server):
    paint(server, "a", 2)
    classes = tables(server)
    classes[2] |= {"name": "vehicle", "was": ["car"]}
    changed(server, [*classes, new("drone")])
    paint(server, "a", 4, 30)
    paint(server, "b", 4)
    again = open_server()
    for name in "ab":
        np.testing.assert_array_equal(exported(again, name), exported(server, name))
        assert (exported(again, name) == 4).any()
    classes = tables(again)
    classes[2] |= {"name": "car", "was": ["car", "vehicle"]}  # back, since journals have either name now
    changed(again, classes)
    assert (exported(again, "a", "truth.png") == 2).any()


def test_classes_are_merged_and_split_until_they_are_labelled(server):
    classes = tables(server)
    merged = [*classes[:1], {**classes[1], "name": "rest", "of": ["sidewalk", "car", "sky"]}]
    assert [one["of"] for one in changed(server, merged)] == [["road"], ["sidewalk", "car", "sky"]]
    assert exported(server, "a").max() <= 1
    changed(server, classes)
    paint(server, "b", 3)
    assert refusal(server, merged) == (
        "'sidewalk' is a class of the work on b: it may get another name and other members, but it keeps its place, "
        "and new classes come last. For other lists start another folder of work (-o)"
    )
    assert tables(server) == classes
    server.post("/api/images/b/undo")  # a redo may bring it back
    assert "'sidewalk' is a class of the work on b" in refusal(server, merged)


def test_a_class_that_was_added_goes_again_until_it_is_labelled(server):
    paint(server, "a", 1)
    classes = tables(server)
    changed(server, [*classes, new("drone")])
    changed(server, classes)
    changed(server, [*classes, new("drone")])
    paint(server, "b", 4)
    assert "'drone' is a class of the work on b:" in refusal(server, [*classes, new("bird")])


def test_a_labelled_class_that_is_missing_in_a_list_by_hand_stops_its_image(server, open_server, tmp_path):
    paint(server, "a", 1)
    changed(server, [*tables(server), new("drone")])
    paint(server, "a", 4)
    file = tmp_path / "work" / "classes.toml"
    file.write_text(file.read_text().rpartition("\n[[class]]")[0])
    problem = open_server().get("/api/images").json()[0]["problem"]
    assert "a.jsonl has labels of a class that follows 'sky': add it again" in problem


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda classes: classes[:3], "the segmenter's class 'sky' is in 0 classes"),
        (lambda classes: [*classes, new("sky")], "repeated: sky"),
        (lambda classes: [*classes, new("x", id=7)], "id 7 has several meanings|has its own|each its own"),
        (lambda classes: [*classes, new("x", kye="x")], "the class list, class x: unknown key 'kye'"),
        (lambda classes: [*classes, new("x\n")], "name is"),
        (lambda classes: [], "needs 2 to 255 classes"),
        (lambda classes: classes + [new(f"x{i}", id=None) for i in range(251)], "give each|raw ids|more than the page"),
    ],
)
def test_a_list_that_is_wrong_is_refused_and_nothing_is_written(server, tmp_path, change, why):
    assert re.search(why, refusal(server, change(tables(server))))
    assert not (tmp_path / "work" / "classes.toml").exists()


def test_maps_of_images_that_are_done_stay_and_get_the_new_names(server, open_server, tmp_path):
    paint(server, "a", 2)
    server.post("/api/images/a/state", json={"done": True})
    files = [tmp_path / "work" / kind / "a.png" for kind in ("labels", "truth", "first", "initial")]
    before = [pixels(file.read_bytes()) for file in files]
    classes = tables(server)
    classes[0]["of"], classes[3]["of"] = [], ["road", "sky"]
    classes[2] |= {"name": "vehicle", "was": ["car"]}
    changed(server, classes)
    for file, labels in zip(files, before, strict=True):
        np.testing.assert_array_equal(pixels(file.read_bytes()), labels)
        assert b"vehicle" in file.read_bytes()
    assert server.get("/api/images").json()[0]["state"] == "done"


def test_tabs_are_told_to_load_the_page_again_and_their_old_connections_write_nothing(server):
    with server.tab("a") as one, server.tab("b") as other:
        here, there = Tab(one), Tab(other)
        here.hears("map")
        there.hears("map")
        changed(server, [*tables(server), new("drone")])
        here.hears("classes")
        there.hears("classes")
        there.say("undo")
        assert there.hears_the_end() == 4404


def test_a_full_disk_changes_nothing(server, monkeypatch):
    classes = tables(server)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device", "classes.toml")

    monkeypatch.setattr("segcode.server.class_list.write_text", refuse)
    assert server.post("/api/classes", json=[*classes, new("drone")]).status_code == 507
    assert tables(server) == classes


def test_scores_outlive_the_server_but_not_the_classes(server, open_server):
    score = server.get("/api/images/a/score").json()
    assert open_server().get("/api/images").json()[0]["uncertainty"] == score["uncertainty"]
    changed(server, [*tables(server), new("drone")])
    assert server.get("/api/images").json()[0]["uncertainty"] is None
    again = open_server()
    assert again.get("/api/images").json()[0]["uncertainty"] is None


def test_a_damaged_file_of_scores_costs_only_time(server, open_server, tmp_path):
    score = server.get("/api/images/a/score").json()
    file = tmp_path / "work" / "scores.jsonl"
    file.write_text('["x"]\n3\nno json\n["y", "a", "b"]\n' + file.read_text() + '\n["z", 0.5')
    images = open_server().get("/api/images").json()
    assert [one["uncertainty"] for one in images] == [score["uncertainty"], None]
