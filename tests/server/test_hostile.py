"""Hostile requests and foreign files in the folder of work: answers have a reason, and work stays."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import uvicorn
from browser_side import FOUR, Server, Tab, pixels, png
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from segcode.classes import ClassSet
from segcode.server import run
from segcode.server.app import create_app
from segcode.server.library import Encoded, Library, Limits, Photograph
from segcode.server.studio import Studio, Viewer
from segcode.server.work import tidy

SOAK = bool(os.environ.get("SEGCODE_SOAK"))


@pytest.fixture
def images(tmp_path) -> list[Path]:
    return [tmp_path / "images" / name for name in ("a/frame.png", "b/frame.png", "b/Straße Ü 街道.png")]


@pytest.fixture
def make_server(serve, tiny_model, tmp_path: Path, images):
    for seed, path in enumerate(images):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))

    def make(memory: int = 2**30, paths: list[Path] | None = None, classes: ClassSet = FOUR) -> Server:
        library = Library(paths or images, tmp_path / "work" / "uploads", Limits())
        studio = Studio(tiny_model, classes, library, tmp_path / "work", memory)
        tidy(studio)
        return serve(create_app(studio, "tiny", purpose="tests"))

    return make


@pytest.fixture
def server(make_server):
    return make_server()


def stroke(name: str = "one", label: int = 2) -> dict:
    return {"kind": "brush", "id": name, "label": label, "radius": 5, "points": [[10, 12], [45, 20]]}


def test_exports_of_images_with_one_file_name_can_be_joined(server):
    found = {}
    for name in ("a/frame", "b/frame"):
        answer = server.get(f"/api/images/{name}/export/coco.json")
        found[name] = answer.json()
        assert f'filename="{name.replace("/", "_")}_coco.json"' in answer.headers["content-disposition"]
        assert found[name]["images"][0]["file_name"] == f"{name}.png"
    images = [one["images"][0]["id"] for one in found.values()]
    annotations = [made["id"] for one in found.values() for made in one["annotations"]]
    assert len(set(images)) == 2
    assert len(set(annotations)) == len(annotations)
    for one in found.values():
        assert {made["image_id"] for made in one["annotations"]} == {one["images"][0]["id"]}


def test_names_in_any_script_are_kept(server, tmp_path):
    answer = server.get("/api/images/b/Straße Ü 街道/export/labels.png")
    name = "b_Stra%C3%9Fe%20%C3%9C%20%E8%A1%97%E9%81%93_labels.png"
    assert answer.headers["content-disposition"].endswith(f"filename*=UTF-8''{name}")
    sent = server.post("/api/images", params={"name": "街道 01.png"}, content=png(9)).json()
    assert sent["name"] == "uploads/街道 01"
    assert (tmp_path / "work/uploads/街道 01.png").is_file()
    coco = server.get("/api/images/uploads/街道 01/export/coco.json").json()
    assert coco["images"][0]["file_name"] == "街道 01.png"


WRONG = {
    "not a number": b'{"kind": "brush", "label": 1, "radius": NaN, "points": [[1, 1]]}',
    "infinite": b'{"kind": "brush", "label": 1, "radius": -Infinity, "points": [[1, Infinity]]}',
    "too large": b'{"kind": "brush", "label": 1e400, "radius": 1e400, "points": [[1e400, 1]]}',
    "half a letter": b'{"kind": "\\ud800", "\\udfff": "\\ud800"}',
    "half a letter for a key": b'{"kind": "reset", "\\ud800": "\\udc00"}',
    "half a letter for an id": b'{"kind": "reset", "id": "\\ud800"}',
    "no JSON": b"{",
    "no UTF-8": b'{"kind": "\xff"}',
    "nothing": b"",
    "deep": b"[" * 100_000,
    "deep mark": b'{"kind":' * 50_000,
    "a number of many digits": b'{"kind": "reset", "id": ' + b"9" * 10_000 + b"}",
    "many keys": b'{"kind": "reset", ' + b", ".join(b'"k%d": 1' % n for n in range(100_000)) + b"}",
    "many wrong points": b'{"kind": "polygon", "label": 1, "points": [' + b"[], " * 300_000 + b"[]]}",
    "many wrong runs": b'{"kind": "region", "label": 1, "size": [1, 1], "runs": [' + b"[], " * 300_000 + b"[]]}",
    "a long key": b'{"kind": "reset", "' + b"k" * 1_000_000 + b'": 1}',
    "a long kind": b'{"kind": "' + b"k" * 1_000_000 + b'"}',
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("path", ["/api/images/a/frame/marks", "/api/images/a/frame/state", "/setup", "/predict"])
def test_a_wrong_body_is_refused_in_few_words(server, kind, path):
    refused = server.post(path, content=WRONG[kind], headers={"Content-Type": "application/json"})
    assert refused.status_code in (400, 413, 422)
    assert len(refused.content) < 5000
    assert json.loads(refused.content)["detail"]


@pytest.mark.parametrize("kind", [name for name, content in WRONG.items() if b"\xff" not in content])
def test_a_wrong_message_is_answered_in_few_words(server, kind):
    with server.tab("a/frame") as socket:
        tab = Tab(socket)
        tab.say_raw('{"type": "add", "mark": ' + WRONG[kind].decode() + "}")
        assert len(tab.hears("problem").header["message"]) < 1000
        tab.say("add", mark=stroke())
        assert tab.hears("saved").header["mark"] == "one"


def test_a_body_that_is_no_file_has_a_megabyte_at_most(server):
    headers = {"Content-Type": "application/json"}
    refused = server.post("/api/images/a/frame/marks", content=b" " * (2**20 + 1), headers=headers)
    assert (refused.status_code, refused.json()["detail"]) == (413, "more than 1 MiB were sent: send less at a time")


def test_requests_with_anything_changed_never_fail_and_change_nothing_unless_they_say_so(server):
    """Bytes of bodies and names changed: no error of the server, and after a refusal all is as it was."""
    random = np.random.default_rng(1)
    bodies = [
        ("/api/images/a/frame/marks", stroke()),
        ("/api/images/a/frame/marks", {"kind": "polygon", "label": 1, "points": [[1, 2], [3, 4.5], [1e3, -7]]}),
        ("/api/images/a/frame/marks", {"kind": "region", "label": 0, "size": [2, 3], "runs": [1, 2, 3]}),
        ("/api/images/a/frame/marks", {"kind": "start", "seed": 12, "index": 3}),
        ("/api/images/a/frame/state", {"done": False}),
        ("/api/images/a/frame/review", {"review": "accepted", "comment": ""}),
        ("/setup", {"project": "1.2", "schema": "<View><Image name='i' value='$i'/></View>"}),
        ("/predict", {"tasks": [{"id": 1, "data": {"i": "data:,x"}}], "project": "1.2", "label_config": "<View/>"}),
        (
            "/webhook",
            {"action": "ANNOTATION_CREATED", "project": {"id": 1}, "task": {"id": 2}, "annotation": {"id": 3}},
        ),
    ]
    refused = 0
    for _ in range(2000 if SOAK else 100):
        path, body = bodies[random.integers(len(bodies))]
        content = bytearray(json.dumps(body).encode())
        for _ in range(random.integers(1, 4)):
            at = int(random.integers(len(content)))
            match random.integers(4):
                case 0:
                    content[at] = int(random.integers(256))
                case 1:
                    del content[at : at + int(random.integers(1, 12))]
                case 2:
                    content[at:at] = content[at : at + int(random.integers(1, 20))]
                case 3:
                    odd = (b"NaN", b"1e999", b"null", b"[]", b"{}", b'"\\ud800"', b"-1", b"9" * 30, b"true")
                    content[at : at + 1] = odd[random.integers(len(odd))]
            content = content or bytearray(b"0")
        if random.random() < 0.1:
            path = path.replace("a/frame", ("", "..%2f..", "%ff", "a%00", "b//frame")[random.integers(5)])
        before = server.get("/api/images/a/frame/export/marks.json").content
        answer = server.post(path, content=bytes(content), headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, (path, bytes(content), answer.text)
        if answer.status_code >= 400:
            refused += 1
            assert server.get("/api/images/a/frame/export/marks.json").content == before
    assert refused > 30


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    at, length = int(random.integers(len(content))), int(random.integers(1, 30))
    some = bytes(random.integers(0, 256, length, np.uint8))
    return (
        content[:at] + some + content[at + length :],
        content[:at] + content[at + length :],
        content[:at] + some + content[at:],
        content[:at],
    )[random.integers(4)]


def test_a_damaged_journal_stops_its_image_alone(make_server, tmp_path):
    first = make_server()
    for name in ("one", "two", "three"):
        first.post("/api/images/a/frame/marks", json=stroke(name))
    journal = tmp_path / "work/journals/a/frame.jsonl"
    whole, random = journal.read_bytes(), np.random.default_rng(2)
    paths = ["document", "export/marks.json", "export/truth.png", "thumbnail"]
    for _ in range(200 if SOAK else 10):
        journal.write_bytes(mutated(whole, random))
        server = make_server()
        assert len(server.get("/api/images").json()) == 3
        answers = [server.get(f"/api/images/a/frame/{path}") for path in paths]
        assert {answer.status_code for answer in answers[:3]} in ({200}, {400})
        assert answers[3].status_code == 200
        if answers[0].status_code == 200:
            assert [one["id"] for one in answers[1].json()] in ([], ["one"], ["one", "two"], ["one", "two", "three"])
        else:
            assert "frame.jsonl" in answers[0].json()["detail"]
        assert server.post("/api/images/b/frame/marks", json=stroke()).status_code == 201


@pytest.mark.parametrize("there", ["folder", "other version"])
def test_what_stands_in_the_place_of_a_journal_is_told_in_the_list(make_server, tmp_path, there):
    journal = tmp_path / "work/journals/a/frame.jsonl"
    make_server().post("/api/images/a/frame/marks", json=stroke())
    if there == "folder":
        journal.unlink()
        journal.mkdir()
    else:
        journal.write_text(journal.read_text().replace('"version":3', '"version":4'))
    listed = {one["name"]: one for one in make_server().get("/api/images").json()}
    assert listed["a/frame"]["state"] == "in work"
    assert "frame.jsonl" in listed["a/frame"]["problem"]
    assert listed["b/frame"]["problem"] is None


def test_work_with_a_model_of_other_classes_is_refused_with_both_lists(make_server, tmp_path):
    make_server().post("/api/images/a/frame/marks", json=stroke())
    before = (tmp_path / "work/journals/a/frame.jsonl").read_bytes()
    server = make_server(classes=ClassSet(FOUR.names[::-1], FOUR.colours))
    why = "labels the classes road, sidewalk, car, sky, and the model has sky, car, sidewalk, road: open it with"
    assert why in server.get("/api/images").json()[0]["problem"]
    assert why in server.post("/api/images/a/frame/marks", json=stroke("two")).json()["detail"]
    assert (tmp_path / "work/journals/a/frame.jsonl").read_bytes() == before


def test_one_image_that_cannot_be_read_leaves_the_others(make_server, images):
    images[0].parent.mkdir(parents=True, exist_ok=True)
    server = make_server()
    images[0].write_bytes(b"")
    listed = {one["name"]: one["problem"] for one in server.get("/api/images").json()}
    assert "is empty" in listed.pop("a/frame")
    assert set(listed.values()) == {None}
    assert server.post("/api/images/b/frame/marks", json=stroke()).status_code == 201
    for path in ("picture", "thumbnail", "document", "export/labels.png"):
        assert "is empty" in server.get(f"/api/images/a/frame/{path}").json()["detail"]


def test_a_name_that_is_not_utf_8_is_listed_and_worked_on(make_server, tmp_path):
    path = tmp_path / "images" / os.fsdecode(b"caf\xe9.png")
    path.parent.mkdir(exist_ok=True)
    try:
        path.write_bytes(png(3))
    except OSError:
        pytest.skip("this file system takes no such name")
    server = make_server(paths=[path])
    (listed,) = server.get("/api/images").json()
    assert server.post(f"/api/images/{listed['name']}/marks", json=stroke()).status_code == 201
    assert server.post(f"/api/images/{listed['name']}/state", json={"done": True}).json()["state"] == "done"
    assert pixels(server.get(f"/api/images/{listed['name']}/thumbnail").content).shape == (40, 60, 3)


@pytest.mark.parametrize("stem", ["new\nline", "tab\tand\x7f", "#?%&", "a b+c;d'e\"f", "back\\slash", "a\u3000b"])
def test_an_image_of_any_name_can_be_painted_and_finished(make_server, tmp_path, stem):
    path = tmp_path / "images" / f"{stem}.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png(3))
    server = make_server(paths=[path])
    (listed,) = server.get("/api/images").json()
    address = f"/api/images/{quote(listed['name'])}"
    assert server.post(f"{address}/marks", json=stroke()).status_code == 201
    assert server.post(f"{address}/state", json={"done": True}).json()["state"] == "done"
    assert server.get(f"{address}/export/labels.png").status_code == 200
    assert server.get(f"{address}/thumbnail").status_code == 200
    assert len([*(tmp_path / "work/labels").iterdir()]) == 1


def test_an_image_with_the_longest_name_can_be_finished(make_server, tmp_path):
    path = tmp_path / "images" / ("n" * 245 + ".png")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png(3))
    server = make_server(paths=[path])
    name = path.stem
    assert server.post(f"/api/images/{name}/marks", json=stroke()).status_code == 201
    assert server.post(f"/api/images/{name}/state", json={"done": True}).json()["state"] == "done"


def test_an_image_that_is_replaced_under_the_server_is_another_image(make_server, images):
    """Its work is refused and stays; the image is listed with its own size."""
    server = make_server()
    server.post("/api/images/a/frame/marks", json=stroke())
    before = images[0].read_bytes()
    with server.tab("a/frame") as socket:
        tab = Tab(socket)
        tab.hears("map")
        images[0].write_bytes(png(8, (20, 30)))
        tab.say("add", mark=stroke("two"))
        assert "another image" in tab.hears("problem").header["message"]
        assert tab.hears_the_end() == 4404
    assert "is about an image of 40 x 60 pixels" in server.get("/api/images").json()[0]["problem"]
    assert server.post("/api/images/a/frame/marks", json=stroke("two")).status_code == 400
    images[0].write_bytes(before)
    assert server.post("/api/images/a/frame/marks", json=stroke("two")).json()["marks"] == 2
    images[1].write_bytes(png(8, (20, 30)))  # no work was done on it
    assert server.post("/api/images/b/frame/marks", json=stroke()).status_code == 201
    assert pixels(server.get("/api/images/b/frame/export/truth.png").content).shape == (20, 30)
    assert make_server().get("/api/images/b/frame/document").json()["marks"] == 1


def test_an_image_that_is_only_touched_is_the_same(server, images):
    with server.tab("a/frame") as socket:
        tab = Tab(socket)
        tab.say("add", mark=stroke())
        tab.hears("saved")
        os.utime(images[0], (1e9, 1e9))
        assert server.post("/api/images/a/frame/marks", json=stroke("two")).json()["marks"] == 2
        assert tab.hears("map", lambda header: header["marks"] == 2)


@pytest.mark.parametrize("broken", ["truth", "journals"])
def test_what_a_failed_end_wrote_is_removed(server, tmp_path, monkeypatch, broken):
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if broken in Path(target).parts:
            raise OSError(28, "No space left on device")
        return real(self, target)

    server.post("/api/images/a/frame/marks", json=stroke())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        if broken == "journals":
            patch.setattr(os, "pread", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert server.post("/api/images/a/frame/state", json={"done": True}).status_code == 507
    assert [path for kind in ("labels", "truth") for path in (tmp_path / "work" / kind).rglob("*.png")] == []
    assert server.get("/api/images/a/frame/document").json()["state"] == "in work"


def test_labels_that_an_image_lost_are_written_again_at_start(make_server, tmp_path):
    server = make_server()
    server.post("/api/images/a/frame/marks", json=stroke())
    server.post("/api/images/a/frame/state", json={"done": True})
    labels = tmp_path / "work/labels/a/frame.png"
    before = pixels(labels.read_bytes())
    labels.unlink()
    again = make_server()
    for _ in range(200):
        if labels.exists():
            break
        again.get("/health")
        time.sleep(0.02)
    assert np.array_equal(pixels(labels.read_bytes()), before)


def test_two_thumbnails_are_made_at_a_time_and_each_once(server, monkeypatch):
    at_once, most, made = 0, 0, []
    lock, real = threading.Lock(), Photograph.thumbnail

    def watched(self: Photograph) -> Encoded:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            made.append(self.name)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return real(self)

    monkeypatch.setattr(Photograph, "thumbnail", watched)
    names = ["a/frame", "b/frame", "b/Straße Ü 街道"]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda name: server.get(f"/api/images/{name}/thumbnail"), names * 4))
    assert most <= 2
    count = len(made)
    for name in names:
        assert server.get(f"/api/images/{name}/thumbnail").status_code == 200
    assert len(made) == count
    assert server.get("/health").json()["bytes_in_memory"] > 0


@pytest.mark.parametrize("kind", ["labels.png", "ids.png", "truth.png"])
def test_an_export_is_encoded_while_others_are_answered(server, monkeypatch, kind):
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> bytes:
        begun.set()
        go_on.wait(30)
        return b"done"

    monkeypatch.setattr("segcode.server.app.encode_labels", slow)
    with ThreadPoolExecutor(1) as pool:
        export = pool.submit(server.get, f"/api/images/a/frame/export/{kind}")
        try:
            assert begun.wait(30)
            assert server.get("/health").status_code == 200
        finally:
            go_on.set()
        assert export.result().content == b"done"


async def crowded() -> tuple[Viewer, asyncio.Task[None]]:
    """A tab that has taken none of a thousand messages, and what waits until it has room."""
    viewer = Viewer()
    for number in range(1000):
        viewer.send({"number": number})
    room = asyncio.create_task(viewer.room())
    await asyncio.sleep(0)
    return viewer, room


def test_a_tab_that_takes_nothing_is_not_read_from_without_end():
    async def waits() -> bool:
        viewer, room = await crowded()
        held = not room.done()
        messages = viewer.messages()
        for _ in range(901):
            await anext(messages)
        await room
        return held

    with ThreadPoolExecutor() as elsewhere:  # playwright's loop runs in this thread
        assert elsewhere.submit(asyncio.run, waits()).result(5)


def test_a_tab_that_is_gone_does_not_hold_up_what_it_asked_for():
    async def goes_on() -> None:
        viewer, room = await crowded()
        viewer.end()
        await room

    with ThreadPoolExecutor() as elsewhere:  # playwright's loop runs in this thread
        elsewhere.submit(asyncio.run, goes_on()).result(5)


@contextmanager
def listening(app: ASGIApp) -> Iterator[int]:
    """A real server with the connections of `serve`."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=run.Connection, log_level="error"))
    with run.listening("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


TINY = Starlette(routes=[Route("/", lambda _: PlainTextResponse("in"))])


def ask(port: int, path: str = "/") -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: one.recv(4096), b""))


def ended(one: socket.socket) -> bool:
    one.settimeout(5)
    try:
        return one.recv(10) == b""
    except ConnectionResetError:
        return True


def test_who_says_nothing_is_cut_off(monkeypatch):
    monkeypatch.setattr(run, "_PATIENCE", 0.1)
    with listening(TINY) as port, socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert ended(silent)
        assert b"200 OK" in ask(port)


def test_silent_connections_make_room_for_those_that_ask(monkeypatch):
    monkeypatch.setattr(run, "_SILENT", 8)
    with listening(TINY) as port:
        many = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        assert b"200 OK" in ask(port)
        assert all(ended(one) for one in many[:22])
        for one in many:
            one.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "127.0.0.1", "gpu7.example"])
def test_the_address_that_is_printed_is_one_that_a_browser_can_open(host):
    shown = run._reachable(host)
    assert shown not in ("0.0.0.0", "::", "")
    assert host in ("0.0.0.0", "::", "") or shown == host


def test_an_upload_that_is_broken_off_leaves_nothing_and_the_server_goes_on(make_server, tmp_path, capfd):
    content = png(5, (200, 300))
    with listening(make_server().app) as port:
        before = sorted((tmp_path / "work").rglob("*"))
        for sent in (0, 1, len(content) // 2, len(content) - 1):
            with socket.create_connection(("127.0.0.1", port), 5) as one:
                one.sendall(
                    b"POST /api/images?name=half.png HTTP/1.1\r\nHost: localhost\r\n"
                    + f"Content-Length: {len(content)}\r\n\r\n".encode()
                    + content[:sent]
                )
        assert b"half" not in ask(port, "/api/images")
        assert sorted((tmp_path / "work").rglob("*")) == before
        assert httpx.post(f"http://localhost:{port}/api/images?name=half.png", content=content).status_code == 201
    assert "Traceback" not in capfd.readouterr().err


def test_answers_over_one_connection_do_not_wait_for_a_receipt():
    seconds = []
    with listening(TINY) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(10):
            began = time.perf_counter()
            client.get("/")
            seconds.append(time.perf_counter() - began)
    assert sorted(seconds)[2] < 0.03
