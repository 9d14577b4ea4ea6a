from __future__ import annotations

import asyncio
import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import schemathesis
from browser_side import ADDRESS, FOUR, LIVE, Server, Tab, pixels, png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from pycocotools import mask as official
from pydantic import TypeAdapter
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.websockets import WebSocket

from segcode.export.runs import encode_runs
from segcode.server.app import create_app
from segcode.server.guard import Access
from segcode.server.library import Library, Limits
from segcode.server.marks import AnyMark, Painting
from segcode.server.studio import Studio, Viewer
from segcode.tensors import IGNORE

MARK = TypeAdapter(AnyMark)
NOTE = {"flagged": False, "comments": {}, "finished_by": None}
UPLOADED = {
    "state": "untouched", "problem": None, "uploaded": True, "uncertainty": None, "expected_change": None, **NOTE
}  # fmt: skip


@pytest.fixture
def make_server(serve, tiny_model, tmp_path: Path):
    """A server over `a` and `b/c` in the folder `images`, whose work is kept in `work`."""
    for name, seed in (("a.png", 0), ("b/c.png", 1)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))

    def make(memory: int = 2**30, limits: Limits | None = None, access: Access | None = None) -> Server:
        images = [tmp_path / "images" / name for name in ("a.png", "b/c.png")]
        library = Library(images, tmp_path / "work" / "uploads", limits or Limits())
        studio = Studio(tiny_model, FOUR, library, tmp_path / "work", memory)
        return serve(create_app(studio, "tiny", access, purpose="tests"))

    return make


@pytest.fixture
def server(make_server):
    return make_server()


def stroke(name: str = "one", label: int = 2, y: float = 12) -> dict:
    points = [[10, y], [45, y + 8]]
    return {"kind": "brush", "id": name, "label": label, "radius": 5, "points": points}


def painted(*marks: dict) -> np.ndarray:
    return Painting.blank((40, 60)).with_marks([MARK.validate_python(mark) for mark in marks]).labels


def marks_of(server, name: str = "a") -> list[str]:
    return [mark["id"] for mark in server.get(f"/api/images/{name}/export/marks.json").json()]


def test_the_server_says_that_it_is_up_and_what_it_holds(server):
    health = server.get("/health").json()
    assert (health["status"], health["images_in_memory"], health["bytes_in_memory"]) == ("UP", 0, 0)
    server.get("/api/images/a/export/labels.png")
    health = server.get("/health").json()
    assert health["images_in_memory"] == 1
    assert health["bytes_in_memory"] > 0


def test_the_model_has_names_and_colours(server):
    model = server.get("/api/model").json()
    assert [one["name"] for one in model["classes"]] == list(FOUR.names)
    assert [tuple(one["colour"]) for one in model["classes"]] == list(FOUR.colours)
    assert len({tuple(one["distinct"]) for one in model["classes"]}) == 4
    assert (model["name"], model["purpose"]) == ("tiny", "tests")


def test_images_are_listed_with_how_far_they_are(server):
    server.post("/api/images/b/c/marks", json=stroke())
    server.post("/api/images/a/state", json={"done": True})
    listed = {one["name"]: one["state"] for one in server.get("/api/images").json()}
    assert listed == {"a": "done", "b/c": "in work"}
    assert [(one["width"], one["height"]) for one in server.get("/api/images").json()] == [(60, 40)] * 2


def test_one_damaged_journal_leaves_the_other_images_alone(make_server, tmp_path):
    (tmp_path / "work" / "journals").mkdir(parents=True)
    (tmp_path / "work" / "journals" / "a.jsonl").write_text("nonsense\n")
    server = make_server()  # which opens all images at once
    assert [one["name"] for one in server.get("/api/images").json()] == ["a", "b/c"]
    assert server.post("/api/images/b/c/marks", json=stroke()).status_code == 201
    refused = server.post("/api/images/a/marks", json=stroke())
    assert refused.status_code == 400
    assert "line 1 is damaged" in refused.json()["detail"]
    with server.tab("a") as socket:
        assert "line 1 is damaged" in Tab(socket).hears("problem").header["message"]


def test_pictures_are_the_files(server):
    assert server.get("/api/images/b/c/picture").content == png(1)
    assert pixels(server.get("/api/images/a/thumbnail").content).shape == (40, 60, 3)


def test_an_upload_is_an_image_like_others(server):
    sent = server.post("/api/images", params={"name": "x.png"}, content=png(2, (30, 50)))
    assert sent.status_code == 201
    assert sent.json() == {"name": "uploads/x", "width": 50, "height": 30, **UPLOADED}
    assert pixels(server.get("/api/images/uploads/x/export/labels.png").content).shape == (30, 50)


def test_what_is_no_image_or_too_large_is_refused(make_server):
    server = make_server(limits=Limits(bytes=20_000, pixels=5000))
    for content, status, why in (
        (b"GIF89a", 400, "is no image that can be read"),
        (b"", 400, "is empty"),
        (png(0, (71, 71)), 400, "71 x 71 pixels"),
        (bytes(20_001), 413, "more than 0 MiB: scale it down"),
        (bytes(40_001), 413, "more than 0 MiB were sent: send less"),
    ):
        refused = server.post("/api/images", params={"name": "x.png"}, content=content)
        assert (refused.status_code, why in refused.json()["detail"]) == (status, True)
    assert len(server.get("/api/images").json()) == 2
    assert server.post("/api/images/a/marks", json={"kind": "x" * 2_000_000}).status_code == 413


def test_an_upload_never_takes_the_name_of_an_image_that_work_was_done_on(make_server, tmp_path):
    server = make_server()
    server.post("/api/images", params={"name": "x.png"}, content=png(2))
    server.post("/api/images/uploads/x/marks", json=stroke())
    (tmp_path / "work" / "uploads" / "x.png").unlink()
    sent = make_server().post("/api/images", params={"name": "x.png"}, content=png(3))
    assert sent.json() == {"name": "uploads/x-2", "width": 60, "height": 40, **UPLOADED}


def test_a_mark_for_another_folder_of_work_is_refused(server):
    refused = server.post("/api/images/a/marks", params={"work": "other"}, json=stroke())
    assert (refused.status_code, "reload the page" in refused.json()["detail"]) == (409, True)
    work = server.get("/api/model").json()["work"]
    assert server.post("/api/images/a/marks", params={"work": work}, json=stroke()).status_code == 201


def test_an_image_that_was_replaced_is_refused_and_its_marks_stay(make_server, tmp_path):
    make_server().post("/api/images/a/marks", json=stroke("one"))
    path = tmp_path / "images" / "a.png"
    before = path.read_bytes()
    path.write_bytes(png(7))
    server = make_server()
    assert server.get("/api/images").json()[0]["state"] == "in work"
    with server.tab("a") as socket:
        tab = Tab(socket)
        assert "is about another image" in tab.hears("problem").header["message"]
        assert tab.hears_the_end() == 4404
    assert "is about another image" in server.post("/api/images/a/marks", json=stroke("two")).json()["detail"]
    path.write_bytes(before)
    assert make_server().post("/api/images/a/marks", json=stroke("two")).json()["marks"] == 2


def test_marks_are_added_taken_back_and_brought_back(server):
    assert server.post("/api/images/a/marks", json=stroke("one")).status_code == 201
    two = server.post("/api/images/a/marks", json=stroke("two")).json()
    assert list(two.pop("people")) == [""]
    assert two == {"name": "a", "state": "in work", "marks": 2, "undo": True, "redo": False, **NOTE}
    assert server.post("/api/images/a/undo").json()["marks"] == 1
    assert marks_of(server) == ["one"]
    assert server.post("/api/images/a/redo").json().items() >= two.items()
    assert server.get("/api/images/a/document").json().items() >= two.items()
    assert marks_of(server, "b/c") == []


def test_the_same_mark_is_kept_once(server):
    for _ in range(2):
        assert server.post("/api/images/a/marks", json=stroke()).json()["marks"] == 1


def test_work_is_found_again_by_the_next_server(make_server):
    first = make_server()
    first.post("/api/images/a/marks", json=stroke("one"))
    with first.tab("a") as socket:
        tab = Tab(socket)
        tab.say("accept", id="two", label=2)
        tab.hears("saved")
    labels = first.get("/api/images/a/export/labels.png").content
    second = make_server()
    assert marks_of(second) == ["one", "two"]
    assert (pixels(second.get("/api/images/a/export/labels.png").content) == pixels(labels)).mean() > 0.99


@pytest.mark.parametrize(
    ("mark", "status", "why"),
    [
        (stroke(label=4), 400, "class 4 is not one of the model's 4"),
        ({"kind": "start", "seed": 1, "index": 8}, 422, "less than 8"),
        ({"kind": "region", "label": 1, "size": [2, 2], "runs": [3]}, 422, "add up to 3 pixels"),
        ({"kind": "spray"}, 422, "expected tags"),
        ({**stroke(), "radius": 1001}, 400, "a radius of at most 1000 pixels, not 1001: fill a polygon"),
    ],
)
def test_marks_that_do_not_fit_are_refused_and_not_kept(server, mark, status, why):
    refused = server.post("/api/images/a/marks", json=mark)
    assert refused.status_code == status
    assert why in refused.text
    assert marks_of(server) == []


def test_an_image_that_is_not_there_is_named(server):
    for ask in ("picture", "thumbnail", "document", "export/labels.png"):
        assert server.get(f"/api/images/nothing/{ask}").status_code == 404
    for ask in ("undo", "redo"):
        assert "there is no image 'nothing'" in server.post(f"/api/images/nothing/{ask}").json()["detail"]
    assert server.get("/api/images/..%2f..%2fimages%2fa/picture").status_code == 404
    with server.tab("nothing") as socket:
        assert "there is no image 'nothing'" in Tab(socket).hears("problem").header["message"]


def test_exports_are_the_map_that_was_shown(server):
    with server.tab("a") as socket:
        tab = Tab(socket)
        first = tab.hears("first").planes[0]
        tab.say("add", mark=stroke())
        labels, truth = tab.hears("map", lambda header: header["marks"] == 1).planes
    exported = {
        kind: server.get(f"/api/images/a/export/{kind}")
        for kind in ("labels.png", "ids.png", "colours.png", "truth.png", "coco.json", "marks.json")
    }
    assert not np.array_equal(labels, first)
    assert np.array_equal(pixels(exported["labels.png"].content), labels)
    assert np.array_equal(pixels(exported["ids.png"].content), FOUR.to_raw(labels))
    assert np.array_equal(pixels(exported["colours.png"].content), FOUR.colourise(labels))
    assert np.array_equal(pixels(exported["truth.png"].content), truth)
    assert np.array_equal(truth, painted(stroke()))
    for one in exported["coco.json"].json()["annotations"]:
        mask = official.decode(official.frPyObjects(one["segmentation"], 40, 60))
        assert np.array_equal(mask == 1, labels == one["category_id"] - 1)
    assert [MARK.validate_python(mark) for mark in exported["marks.json"].json()] == [MARK.validate_python(stroke())]
    assert exported["ids.png"].headers["content-disposition"] == (
        "attachment; filename=\"a_ids.png\"; filename*=UTF-8''a_ids.png"
    )


def test_an_image_that_is_done_has_its_map_and_its_truth_in_the_folder(server, tmp_path):
    server.post("/api/images/b/c/marks", json=stroke())
    labels = server.get("/api/images/b/c/export/labels.png").content
    assert server.post("/api/images/b/c/state", json={"done": True}).json()["state"] == "done"
    written = {kind: pixels((tmp_path / "work" / kind / "b" / "c.png").read_bytes()) for kind in ("labels", "truth")}
    assert np.array_equal(written["labels"], pixels(labels))
    assert np.array_equal(written["truth"], painted(stroke()))
    assert server.post("/api/images/b/c/state", json={"done": False}).json()["state"] == "in work"


def test_the_map_follows_what_is_drawn_and_nothing_is_kept(server, tmp_path):
    with server.tab("a") as socket:
        tab = Tab(socket)
        first = tab.hears("first").planes[0]
        tab.say("draw", mark=stroke("draft"))
        drawn = tab.hears("map", lambda header: header["drafts"])
        assert drawn.header["drafts"] == {"draft": 2}
        assert not np.array_equal(drawn.planes[0], first)
        assert np.array_equal(drawn.planes[1], painted(stroke()))
        tab.say("draw", mark=None)
        ended = tab.hears("map", lambda header: not header["drafts"])
        assert np.array_equal(ended.planes[0], first)
        assert (ended.planes[1] == IGNORE).all()
    assert not (tmp_path / "work" / "journals").exists()


def test_a_mark_that_is_saved_is_on_the_disk(server, tmp_path):
    with server.tab("a") as socket:
        tab = Tab(socket)
        for _ in range(2):
            tab.say("add", mark=stroke())
            assert tab.hears("saved").header["mark"] == "one"
    log = (tmp_path / "work" / "journals" / "a.jsonl").read_text().splitlines()
    assert [json.loads(line).get("mark", {}).get("id") for line in log] == [None, "one"]


def test_undo_and_redo_over_the_socket(server):
    with server.tab("a") as socket:
        tab = Tab(socket)
        first = tab.hears("first").planes[0]
        tab.say("add", mark=stroke())
        tab.hears("saved")
        tab.say("undo")
        assert tab.hears("document", lambda header: header["redo"]).header["marks"] == 0
        assert np.array_equal(tab.hears("map", lambda header: header["marks"] == 0).planes[0], first)
        tab.say("redo")
        assert tab.hears("document", lambda header: not header["redo"]).header["marks"] == 1


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        (b"\x00\x01", "JSON"),
        ('{"type": "dance"}', "expected tags"),
        ('{"type": "look", "more": 1}', "Extra"),
        (json.dumps({"type": "add", "mark": stroke(label=9)}), "class 9 is not one of the model's 4"),
        ('{"type": "fill", "id": "x", "x": 99, "y": 1, "label": 1}', "is outside the image"),
        ('{"type": "add", "mark": {"kind": "start", "seed": 1, "index": 8}}', "less than 8"),
        ('{"type": "accept", "id": "x", "label": 9}', "class 9 is not one of the model's 4"),
    ],
)
def test_a_wrong_message_is_answered_and_the_connection_lives_on(server, message, why):
    with server.tab("a") as socket:
        tab = Tab(socket)
        tab.say_raw(message)
        assert why in tab.hears("problem").header["message"]
        tab.say("add", mark=stroke())
        assert tab.hears("saved").header["mark"] == "one"


def test_a_wrong_draft_is_answered_and_maps_go_on(server):
    with server.tab("a") as socket:
        tab = Tab(socket)
        tab.say("draw", mark=stroke(label=9))
        assert "class 9" in tab.hears("problem").header["message"]
        tab.say("draw", mark=stroke("fine"))
        assert tab.hears("map", lambda header: header["drafts"]).header["drafts"] == {"fine": 2}


def full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_mark_that_a_full_disk_refuses_is_answered_and_may_be_sent_again(server, monkeypatch):
    with server.tab("a") as socket:
        tab = Tab(socket)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            tab.say("add", mark=stroke())
            unsaved = tab.hears("unsaved").header
            refused = server.post("/api/images/a/marks", json=stroke("two"))
        assert unsaved["mark"] == "one"
        assert "free some space" in unsaved["message"]
        assert (refused.status_code, "free some space" in refused.json()["detail"]) == (507, True)
        assert marks_of(server) == []
        tab.say("add", mark=stroke())
        assert tab.hears("saved").header["mark"] == "one"
    assert marks_of(server) == ["one"]


@pytest.mark.parametrize(
    ("number", "status", "cure"), [(errno.EACCES, 500, "let segcode write"), (errno.ENOENT, 404, "put it back")]
)
def test_only_a_full_disk_is_reported_as_one(server, monkeypatch, number, status, cure):
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number), "a.jsonl")

    monkeypatch.setattr(os, "fsync", refuse)
    refused = server.post("/api/images/a/marks", json=stroke())
    assert (refused.status_code, cure in refused.json()["detail"]) == (status, True)


def test_a_segmenter_of_other_classes_is_refused_with_the_cure(tmp_path):
    (tmp_path / "a.png").write_bytes(png(0))
    library = Library([tmp_path / "a.png"], tmp_path / "uploads", Limits())
    studio = Studio(lambda _: np.zeros((3, 5, 5)), FOUR, library, tmp_path / "work", 2**30)
    with Server(create_app(studio, "mine"), base_url=ADDRESS) as server:
        answer = server.get("/api/images/a/export/labels.png")
    assert (answer.status_code, "predicts 3 classes, 4 are named" in answer.json()["detail"]) == (400, True)


def test_a_segmenter_is_told_the_names_that_the_library_gives(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a.png", "b/c.png"):
        (tmp_path / name).write_bytes(png(0))
    library = Library([tmp_path / "a.png", tmp_path / "b/c.png"], tmp_path / "uploads", Limits())
    asked = []

    def logits(image, name):
        asked.append(name)
        return np.zeros((4, 5, 5))

    with Server(create_app(Studio(logits, FOUR, library, tmp_path, 2**30), "mine"), base_url=ADDRESS) as server:
        for name in ("a", "b/c"):
            assert server.get(f"/api/images/{name}/export/labels.png").status_code == 200
    assert asked == ["a", "b/c"]


def test_two_tabs_see_each_others_marks_and_drafts(server):
    with server.tab("a") as one, server.tab("a") as other:
        here, there = Tab(one), Tab(other)
        there.hears("document", lambda header: header["viewers"] == 2)
        here.say("draw", mark=stroke("draft"))
        assert there.hears("map", lambda header: header["drafts"]).header["drafts"] == {"draft": 2}
        here.say("draw", mark=None)
        here.say("add", mark=stroke("one"))
        there.say("add", mark=stroke("two", label=1, y=25))
        both = [tab.hears("map", lambda header: header["marks"] == 2) for tab in (here, there)]
        assert np.array_equal(both[0].planes, both[1].planes)
    assert set(marks_of(server)) == {"one", "two"}


def test_a_slow_viewer_gets_the_newest_of_a_topic_and_all_else():
    async def take() -> list[object]:
        viewer = Viewer()
        for number in range(3):
            viewer.send({"type": "map", "number": number}, "map")
            viewer.send({"type": "saved", "number": number})
        viewer.end()
        return [(message["type"], message["number"]) async for message in viewer.messages()]

    with ThreadPoolExecutor() as elsewhere:  # playwright's loop runs in this thread
        sent = elsewhere.submit(asyncio.run, take()).result()
    assert sent == [("map", 2), ("saved", 0), ("saved", 1), ("saved", 2)]


def test_a_tab_that_takes_nothing_holds_up_no_other(server, monkeypatch):
    send = WebSocket.send

    async def stuck(self: WebSocket, message: dict) -> None:
        if "work" in self.query_params and message["type"] == "websocket.send":
            await asyncio.Event().wait()
        await send(self, message)

    monkeypatch.setattr(WebSocket, "send", stuck)
    work = server.get("/api/model").json()["work"]
    with server.tab("a") as one, server.websocket_connect(f"{LIVE}/api/images/a/live?work={work}"):
        here = Tab(one)
        here.hears("document", lambda header: header["viewers"] == 2)
        here.say("add", mark=stroke("one"))
        assert here.hears("saved").header["mark"] == "one"
        here.hears("map", lambda header: header["marks"] == 1)


def test_a_tab_that_is_closed_takes_its_draft_with_it(server):
    with server.tab("a") as one:
        here = Tab(one)
        with server.tab("a") as other:
            Tab(other).say("draw", mark=stroke("draft"))
            here.hears("map", lambda header: header["drafts"])
        here.hears("map", lambda header: not header["drafts"])


def test_a_tab_that_comes_back_gets_maps_again(server):
    for number in range(3):
        with server.tab("a") as socket:
            tab = Tab(socket)
            tab.say("add", mark=stroke(str(number)))
            tab.hears("map", lambda header, count=number + 1: header["marks"] == count)


def test_the_model_answers_what_it_is_asked(server):
    with server.tab("a") as socket:
        tab = Tab(socket)
        first = tab.hears("first").planes[0]
        tab.say("watch", uncertainty=True)
        assert tab.hears("uncertainty").planes.shape == (2, 40, 60)
        tab.say("look")
        assert 1 <= len(tab.hears("places").header["places"]) <= 8
        tab.say("sample", seed=3)
        samples = tab.hears("samples")
        assert (samples.header["seed"], samples.planes.shape) == (3, (8, 40, 60))
        tab.say("add", mark={"kind": "start", "id": "start", "seed": 3, "index": 5})
        assert np.array_equal(tab.hears("map", lambda header: header["marks"] == 1).planes[0], samples.planes[5])
        tab.say("undo")
        assert np.array_equal(tab.hears("map", lambda header: header["marks"] == 0).planes[0], first)
        tab.say("fill", id="fill", x=30.5, y=20.5, label=3)
        filled = tab.hears("map", lambda header: header["marks"] == 1).planes
        assert filled[1][20, 30] == filled[0][20, 30] == 3


def test_with_little_memory_one_image_is_held_and_work_goes_on(make_server):
    server = make_server(memory=1)
    with server.tab("a") as one, server.tab("b/c") as other:
        here, there = Tab(one), Tab(other)
        for number in range(2):
            for tab in (here, there):
                tab.say("add", mark=stroke(str(number), y=5 + 10 * number))
                heard = tab.hears("map", lambda header, count=number + 1: header["marks"] == count)
                assert heard.header["open"] == 1
        assert server.get("/health").json()["images_in_memory"] == 1
    assert np.array_equal(
        pixels(server.get("/api/images/a/export/truth.png").content), painted(stroke("0", y=5), stroke("1", y=15))
    )


def test_an_image_that_is_gone_is_named_over_the_socket(server, tmp_path):
    (tmp_path / "images" / "a.png").unlink()
    with server.tab("a") as socket:
        tab = Tab(socket)
        assert "a.png is missing" in tab.hears("problem").header["message"]
        assert tab.hears_the_end() == 4404
    assert server.get("/api/images/a/picture").status_code == 400


def test_the_page_is_served_and_strangers_are_not(server):
    page = server.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert server.get("/api/images", headers={"host": "evil.example"}).status_code == 403


def test_what_the_server_cannot_do_is_said_in_its_own_words(server):
    """A method that is not there is no file that is missing."""
    for path in ("/api/model", "/health", "/api/images/a/document"):
        assert server.delete(path).status_code == 405
        assert "GET" in server.delete(path).headers["allow"]
    assert server.get("/api/nothing").status_code == 404


def test_regions_may_be_sent(server):
    mask = np.zeros((40, 60), bool)
    mask[5:9, 3:20] = True
    region = {"kind": "region", "label": 1, "size": [40, 60], "runs": encode_runs(mask), "extent": "exhaustive"}
    assert server.post("/api/images/a/marks", json=region).status_code == 201
    assert np.array_equal(pixels(server.get("/api/images/a/export/labels.png").content) == 1, mask)


NAMES = st.sampled_from(["a", "b/c"]) | st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5)
"""Names of images; half of those that are asked for exist."""

NOT_DESCRIBED = {
    "/api/classes": "the keys of a class file, and classes of the model",
    "/api/images": "that a file is an image",
    "/api/images/{name}/marks": "classes of the model",
    "/api/images/{name}/review": "that somebody has called the image done",
    "/setup": "that a labelling configuration is XML",
    "/predict": "the same",
    "/webhook": "the same",
}
"""Conditions of a body that a schema cannot express, so that a valid one may be refused."""


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_the_interface_is_what_it_says_that_it_is(make_server, mode):
    """Against its own description: no error of the server, no answer that is not declared, nothing wrong accepted."""
    server = make_server(limits=Limits(bytes=200_000), access=Access(hosts=frozenset({"testserver", "localhost"})))
    schema = schemathesis.openapi.from_asgi("/openapi.json", server.app)
    asked = set()
    for operation in (found.ok() for found in schema.get_all_operations()):

        @settings(max_examples=5, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode), NAMES)
        def holds(case, name):
            asked.add((case.method, case.path))
            if "name" in case.path_parameters:
                case.path_parameters["name"] = quote(name)
            case.call_and_validate(excluded_checks=[positive_data_acceptance] if case.path in NOT_DESCRIBED else [])

        with suppress(Unsatisfiable):  # nothing wrong can be asked of what takes nothing
            holds()
    assert len(asked) >= (11 if mode is GenerationMode.POSITIVE else 4)
