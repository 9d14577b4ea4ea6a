"""Who did what; a second person's verdict; agreement of two maps; and images whose truth is known."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from browser_side import FOUR, LIVE, Server, Tab, pixels, png
from torchmetrics.functional.classification import multiclass_cohen_kappa

from segcode.data.folder import class_file_text
from segcode.data.labels import write_labels
from segcode.errors import ConfigError, DataError
from segcode.export.comparison import agreed
from segcode.metrics import iou
from segcode.segmenters.named_classes import ids_of
from segcode.server.app import create_app
from segcode.server.journal import Entry, Head, Log
from segcode.server.library import Library, Limits
from segcode.server.marks import Brush
from segcode.server.review import (
    ImageWork,
    agreement,
    annotators,
    by_class,
    consensus,
    counted,
    of_review,
    of_two_people,
    on_honeypots,
    read_work,
)
from segcode.server.studio import Studio
from segcode.server.work import open_honeypots
from segcode.tensors import IGNORE

SIZE = 40, 60
STROKE = {"kind": "brush", "label": 2, "radius": 5, "points": [[10, 12], [45, 12]]}


@pytest.fixture
def open_server(serve, tiny_model, tmp_path: Path):
    """A server over `seq/a` and `seq/c`, and the honeypot `b` if asked for."""
    for name, seed in (("images/seq/a.png", 0), ("images/seq/c.png", 1), ("images/x.png", 2), ("pots/images/b.png", 3)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(seed))
    write_labels(tmp_path / "pots/labels/b.png", np.full(SIZE, 2, np.uint8), FOUR)
    (tmp_path / "pots/classes.toml").write_text(class_file_text(ids_of(FOUR).tables, [IGNORE]))

    def open_(work: str = "work", pots: bool = False) -> Server:
        images = [tmp_path / f"images/seq/{name}.png" for name in "ac"]
        hidden = [pair.image for pair in open_honeypots(tmp_path / "pots", FOUR).pairs] if pots else []
        library = Library([tmp_path / "images/x.png", *images], tmp_path / work / "uploads", Limits(), hidden)
        studio = Studio(tiny_model, FOUR, library, tmp_path / work, 2**30)
        return serve(create_app(studio, "tiny"))

    return open_


@pytest.fixture
def server(open_server):
    return open_server()


def ask(server: Server, name: str, what: str, content: dict | None = None, by: str = "") -> dict:
    return server.post(f"/api/images/{name}/{what}", json=content, params={"by": by}).json()


def finish(server: Server, name: str, by: str = "Ann", label: int = 2) -> dict:
    ask(server, name, "marks", {**STROKE, "label": label}, by)
    return ask(server, name, "state", {"done": True}, by)


def test_the_journal_has_the_name_of_whoever_asked(server, tmp_path):
    ask(server, "x", "marks", STROKE, "Ann")
    with server.websocket_connect(f"{LIVE}/api/images/x/live?by=Bob") as socket:
        tab = Tab(socket)
        tab.say("add", mark={**STROKE, "id": "two"})
        tab.hears("saved")
        tab.say("accept", id="three", label=2)
        tab.hears("saved")
        tab.say("undo")
        assert list(tab.hears("document", lambda one: one["redo"]).header["people"]) == ["Ann", "Bob"]
    for what, content in (("note", {"comment": "kerb?"}), ("redo", None), ("state", {"done": True})):
        ask(server, "x", what, content, "Cem")
    lines = [json.loads(line) for line in (tmp_path / "work/journals/x.jsonl").read_text().splitlines()[1:]]
    assert [line["by"] for line in lines] == ["Ann", "Bob", "Bob", "Bob", "Cem", "Cem", "Cem"]
    assert ask(server, "x", "undo", None, "n" * 61)["detail"][0]["loc"] == ["query", "by"]


def test_a_second_person_corrects_and_accepts(server, tmp_path):
    assert finish(server, "x")["state"] == "done"
    refused = ask(server, "x", "review", {"review": "accepted"}, "Ann")
    assert refused == {"detail": "Ann has called this image done: somebody else has to accept it"}
    refused = ask(server, "x", "review", {"review": "accepted"})
    assert refused == {"detail": "a review needs your name: write it on the page, or add ?by=NAME"}
    before = pixels((tmp_path / "work/labels/x.png").read_bytes())
    assert ask(server, "x", "marks", {**STROKE, "label": 1}, "Bob")["state"] == "in work"
    accepted = ask(server, "x", "review", {"review": "accepted"}, "Bob")
    assert (accepted["state"], accepted["finished_by"], list(accepted["people"])) == ("accepted", "Ann", ["Ann", "Bob"])
    after = pixels((tmp_path / "work/labels/x.png").read_bytes())
    assert (after[12, 12:40] == 1).all()
    np.testing.assert_array_equal(pixels((tmp_path / "work/first/x.png").read_bytes()), before)


def test_what_is_sent_back_is_to_do_again_and_says_why(server, open_server, tmp_path):
    finish(server, "x")
    ask(server, "x", "note", {"comment": "where is the kerb?"}, "Ann")
    ask(server, "x", "note", {"comment": "here"}, "Bob")
    with server.websocket_connect(f"{LIVE}/api/images/x/live?by=Bob") as socket:
        tab = Tab(socket)
        tab.say("review", review="sent back", comment="the kerb is wrong")
        heard = tab.hears("document", lambda one: one["state"] == "sent back").header
    assert heard["comments"] == {"Ann": "where is the kerb?", "Bob": "the kerb is wrong"}
    assert heard["finished_by"] is None
    assert not (tmp_path / "work/labels/x.png").exists()
    assert open_server().get("/api/images").json()[2]["state"] == "sent back"
    assert "nobody has called" in ask(server, "x", "review", {"review": "accepted"}, "Bob")["detail"]
    assert finish(server, "x")["state"] == "done"


def names_in(server: Server, only: str) -> list[str]:
    archive = zipfile.ZipFile(io.BytesIO(server.get("/api/export", params={"only": only}).content))
    return [name[7:-4] for name in archive.namelist() if name.startswith("labels/")]


def test_lists_and_exports_tell_what_is_to_review_and_what_is_accepted(server):
    for name in ("seq/a", "seq/c"):
        finish(server, name)
    ask(server, "seq/c", "review", {"review": "accepted"}, "Bob")
    assert {only: names_in(server, only) for only in ("done", "to review", "accepted", "to do")} == {
        "done": ["seq/a", "seq/c"],
        "to review": ["seq/a"],
        "accepted": ["seq/c"],
        "to do": ["x"],
    }


def test_nothing_but_the_export_of_all_tells_honeypots_apart(open_server, tmp_path):
    server = open_server(pots=True)
    listed = server.get("/api/images").json()
    (name,) = {one["name"] for one in listed} - {"seq/a", "seq/c", "x"}
    assert name in ("seq/b", "b")  # in the folder of another one
    assert [one["name"] for one in listed] == sorted(one["name"] for one in listed)
    finish(server, name)
    finish(server, "x")
    answers = {}
    for one in (name, "x"):
        texts = [server.get(f"/api/images/{one}/{what}").text for what in ("document", "score")]
        texts += [server.get("/api/images").text, server.post(f"/api/images/{one}/remove").text]
        answers[one] = "\n".join(texts)
        assert "pots" not in answers[one]
        shape = server.get(f"/api/images/{one}/export/coco.json").json()["images"][0]
        assert shape == {**shape, "file_name": f"{one}.png"}
    keys = [{key for one in listed for key in one if one["name"] == each} for each in (name, "x")]
    assert keys[0] == keys[1]
    assert names_in(server, "all") == ["seq/a", "seq/c", "x"]
    assert open_server(pots=True).get(f"/api/images/{name}/document").json()["state"] == "done"


def test_a_honeypot_never_takes_the_name_of_an_image(tmp_path):
    for name in ("images/b.png", "pots/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(png(len(name)))
    library = Library([tmp_path / "images/b.png"], tmp_path / "uploads", Limits(), [tmp_path / "pots/b.png"])
    assert [(one.name, one.honeypot, one.problem) for one in library.all()] == [("b", False, None), ("b-2", True, None)]


def test_honeypots_without_labels_or_of_other_classes_are_refused(open_server, tmp_path):
    with pytest.raises(ConfigError, match=r"names the classes road, sidewalk, car, sky, and the page has x, y: name"):
        open_honeypots(tmp_path / "pots", type(FOUR)(("x", "y"), FOUR.colours[:2]))
    (tmp_path / "pots/labels/b.png").unlink()
    (tmp_path / "pots/labels").rmdir()
    with pytest.raises(DataError, match="labels is missing: put the label maps"):
        open_honeypots(tmp_path / "pots", FOUR)
    with pytest.raises(ConfigError, match="is missing"):
        open_honeypots(tmp_path, FOUR)


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two maps that agree in some two thirds of their pixels, with void in both."""
    random = np.random.default_rng(seed)
    one = random.choice(np.array([0, 1, 2, IGNORE], np.uint8), SIZE)
    return one, np.where(random.random(SIZE) < 0.6, one, random.choice(np.array([0, 1, 2, IGNORE], np.uint8), SIZE))


def test_agreement_is_that_of_torchmetrics_with_void_as_a_class():
    one, other = maps(0)
    found = agreement(counted(one, other, FOUR))
    ids = [torch.from_numpy(np.where(labels == IGNORE, 4, labels).astype(np.int64)) for labels in (one, other)]
    assert found["kappa"] == pytest.approx(float(multiclass_cohen_kappa(*ids, num_classes=5)))
    assert found["agreement"] == pytest.approx((one == other).mean())
    rows = {row["class"]: row for row in by_class(counted(one, other, FOUR), FOUR)}
    assert list(rows) == ["road", "sidewalk", "car", "void"]  # no map has sky
    road = (one == 0, other == 0)
    assert rows["road"]["iou"] == pytest.approx((road[0] & road[1]).sum() / (road[0] | road[1]).sum())
    assert (rows["void"]["pixels"], rows["void"]["pixels_of_other"]) == ((one == 255).sum(), (other == 255).sum())


def test_agreement_of_equal_maps_is_perfect_and_of_one_class_has_no_kappa():
    one, _ = maps(0)
    assert agreement(counted(one, one, FOUR)) == {"agreement": 1, "kappa": 1, "mean_iou": 1}
    flat = np.ones(SIZE, np.uint8)
    assert agreement(counted(flat, flat, FOUR)) == {"agreement": 1, "kappa": None, "mean_iou": 1}
    assert torch.isnan(iou(counted(flat, flat, FOUR))).sum() == 4


def test_the_consensus_is_where_maps_agree_and_its_picture_is_faint_there():
    one, other = maps(1)
    merged = consensus(one, other)
    np.testing.assert_array_equal(merged[one == other], one[one == other])
    assert (merged[one != other] == IGNORE).all()
    white = np.full((*SIZE, 3), 255, np.uint8)
    picture = agreed(white, one, other, FOUR)
    assert (picture[one != other] == (213, 94, 0)).all()
    assert picture[one == other].min() > 170


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def worked(name: str, *entries: dict, digest: str = "") -> ImageWork:
    """An image with things that were done at minutes after noon."""
    made = [Entry.model_validate({**entry, "at": NOON + timedelta(minutes=entry["at"])}) for entry in entries]
    head = Head(version=3, image=SIZE, stamp=(0, 0, 0), digest=digest or name, path="", classes=FOUR.names)
    log = Log(head, made)
    return ImageWork(name, Path(), log, log.document())


def stroke(name: str, by: str, at: float) -> dict:
    return {"mark": Brush(id=name, label=1, radius=2, points=((3, 4),)), "by": by, "at": at}


def test_each_annotator_has_their_images_strokes_and_minutes_without_pauses():
    people = annotators(
        [
            worked("a", stroke("1", "Ann", 0), stroke("2", "Ann", 2), {"step": "undo", "by": "Ann", "at": 3},
                   {"done": True, "by": "Ann", "at": 4}, {"review": "sent back", "by": "Bob", "at": 50},
                   stroke("3", "Ann", 60), {"done": True, "by": "Ann", "at": 61},
                   {"review": "accepted", "by": "Bob", "at": 70}),
            worked("b", stroke("1", "Ann", 8), stroke("2", "Bob", 71), {"done": True, "by": "", "at": 80}),
            worked("c", {"comment": "?", "by": "Bob", "at": 73}),
        ]
    )  # fmt: skip
    assert list(people) == ["Ann", "Bob", ""]
    ann, bob, nobody = people.values()
    assert (ann.images, ann.strokes, ann.finished, ann.accepted, ann.sent_back, ann.reviews) == (2, 4, 1, 1, 1, 0)
    assert ann.minutes == 4 + 4 + 1  # 0 to 4, to 8, a pause, 60 to 61
    assert (bob.images, bob.strokes, bob.reviews, bob.minutes) == (1, 1, 2, 3)
    assert (nobody.images, nobody.finished, nobody.accepted, nobody.minutes) == (1, 1, 0, 0)


def test_images_are_paired_by_their_content_and_copies_by_their_names():
    done = {"done": True, "by": "Ann", "at": 0}
    ours = [worked("a", done), worked("b", done, digest="copy"), worked("c", done, digest="copy"), worked("d", done)]
    theirs = [worked("new name", done, digest="a"), worked("c", done, digest="copy"), worked("d", stroke("1", "", 0)),
              worked("b", done, digest="copy"), worked("e", done)]  # fmt: skip
    pairs = [(pair.one[0].name, pair.other[0].name) for pair in of_two_people(ours, theirs)]
    assert pairs == [("a", "new name"), ("b", "b"), ("c", "c")]


@pytest.fixture
def reviewed(open_server) -> Callable[[str], Path]:
    """A folder of work in which Ann called all images done, and Bob corrected and accepted `x`."""

    def make(work: str) -> None:
        server = open_server(work, pots=True)
        for image in server.get("/api/images").json():
            finish(server, image["name"])
        ask(server, "x", "marks", {**STROKE, "label": 1}, "Bob")
        ask(server, "x", "review", {"review": "accepted"}, "Bob")

    return make


def test_first_maps_are_compared_with_those_that_were_accepted(reviewed, tmp_path):
    reviewed("work")
    problems: list[str] = []
    (pair,) = of_review(read_work(tmp_path / "work", problems))
    first, accepted = pair.maps(FOUR)
    assert problems == []
    assert (first[12, 12:40] == 2).all()
    assert (accepted[12, 12:40] == 1).all()
    np.testing.assert_array_equal(pair.image(), pixels((tmp_path / "images/x.png").read_bytes()))
    (tmp_path / "images/x.png").unlink()
    assert (pair.image() == 255).all()


def test_honeypots_measure_first_maps_and_what_they_gained(reviewed, tmp_path):
    reviewed("work")
    works = read_work(tmp_path / "work", [])
    (ann,) = on_honeypots(works, open_honeypots(tmp_path / "pots", FOUR), [])
    (pot,) = (tmp_path / "work/first").rglob("b.png")
    made, initial = (pixels((tmp_path / "work" / kind / pot.relative_to(tmp_path / "work/first")).read_bytes())
                     for kind in ("first", "initial"))  # fmt: skip
    assert (ann["name"], ann["honeypots"]) == ("Ann", 1)
    assert ann["accuracy"] == pytest.approx((made == 2).mean())
    assert ann["gained"] == pytest.approx((made == 2).mean() - (initial == 2).mean())
    assert ann["gained"] > 0
    assert ann["mean_iou"] <= ann["accuracy"]
