from __future__ import annotations

import base64
import io
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from small_label_studio import SmallLabelStudio

from segcode.errors import ConfigError, DataError
from segcode.server import label_studio_client
from segcode.server.label_studio_client import LabelStudio, image_name, inline_image
from segcode.server.library import Limits

LIMITS = Limits(bytes=5000, pixels=50 * 40)
PICTURE = np.arange(32 * 48 * 3, dtype=np.uint8).reshape(32, 48, 3)


def png(picture: np.ndarray = PICTURE) -> bytes:
    content = io.BytesIO()
    Pillow.fromarray(picture).save(content, format="PNG")
    return content.getvalue()


@pytest.fixture
def small():
    server = SmallLabelStudio()
    yield server
    server.close()


@pytest.mark.parametrize("key", [SmallLabelStudio.PERSONAL, SmallLabelStudio.LEGACY])
@pytest.mark.parametrize("path", ["/data/upload/1/x.png", "/data/local-files/?d=a%20street/x.png"])
def test_images_come_with_either_kind_of_key(small, key, path):
    small.files[path] = png()
    label_studio = LabelStudio(small.address, key, LIMITS)
    assert np.array_equal(label_studio.image(path), PICTURE)
    assert np.array_equal(label_studio.image(small.address + path), PICTURE)


def test_spaces_and_other_letters_of_a_path_are_quoted(small):
    small.files["/data/upload/1/a%20stra%C3%9Fe.png"] = png()
    assert np.array_equal(
        LabelStudio(small.address, small.LEGACY, LIMITS).image("/data/upload/1/a straße.png"), PICTURE
    )


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/data/upload/2/2b8d8d2c-a_street.png", "a_street"),
        ("http://localhost:8080/data/upload/2/2b8d8d2c-stra%C3%9Fe.png?x=1", "straße"),
        ("/data/local-files/?d=run/left/0001.png", "0001"),
        ("https://elsewhere/2b8d8d2c-a.jpg", "2b8d8d2c-a"),
        ("data:image/png;base64,AAAA", None),
    ],
)
def test_an_image_is_known_by_the_name_of_its_file(source, name):
    assert image_name(source) == name


def test_a_personal_token_is_exchanged_once_for_many_images(small):
    small.files["/x.png"] = png()
    label_studio = LabelStudio(small.address, small.PERSONAL, LIMITS)
    for _ in range(3):
        label_studio.image("/x.png")
    assert small.asked == ["POST /api/token/refresh/", *3 * ["GET /x.png"]]


@pytest.mark.parametrize("key", [None, "wrong", "also.a.wrong"])
def test_without_the_key_the_cure_is_told(small, key):
    small.files["/x.png"] = png()
    with pytest.raises(DataError, match=r"answers 401: give the key .* LABEL_STUDIO_API_KEY"):
        LabelStudio(small.address, key, LIMITS).image("/x.png")


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1:9/x.png",
        "https://{host}/x.png",
        "//127.0.0.1:9/x.png",
        "http://{host}@127.0.0.1:9/x.png",
        "http://[::1/x.png",
        "file:///etc/hostname",
        "ftp://127.0.0.1/x.png",
        "s3://bucket/x.png",
        "gs:x.png",
    ],
)
def test_nothing_is_asked_of_another_address(small, source):
    label_studio = LabelStudio(small.address, small.LEGACY, LIMITS)
    with pytest.raises(DataError, match="is not at"):
        label_studio.image(source.format(host=small.address.removeprefix("http://")))
    assert small.asked == []


def test_a_redirection_to_another_address_is_not_followed(small):
    other = SmallLabelStudio()
    other.files["/x.png"] = png()
    small.moved["/x.png"] = f"{other.address}/x.png"
    try:
        with pytest.raises(DataError, match="pre-signed URLs"):
            LabelStudio(small.address, small.LEGACY, LIMITS).image("/x.png")
        assert other.asked == []
    finally:
        other.close()


def test_a_redirection_within_is_followed(small):
    small.files["/y.png"] = png()
    small.moved["/x.png"] = "/y.png"
    assert np.array_equal(LabelStudio(small.address, small.LEGACY, LIMITS).image("/x.png"), PICTURE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(5001), "more than 0 MiB"),
        (b"<html>", "no image that can be read"),
        (b"", "is empty"),
        (png()[:200], "is damaged"),
        (png(np.zeros((41, 50, 3), np.uint8)), "50 x 41 pixels, more than 0 million: scale it down"),
    ],
)
def test_what_is_no_image_within_the_limits_is_refused(small, content, message):
    small.files["/x.png"] = content
    with pytest.raises(DataError, match=message):
        LabelStudio(small.address, small.LEGACY, LIMITS).image("/x.png")
    if content:
        with pytest.raises(DataError, match=message.replace("more than 0 MiB", "no image|more")):
            inline_image("data:image/png;base64," + base64.b64encode(content).decode(), LIMITS)


def test_an_image_may_be_in_its_own_address():
    assert np.array_equal(inline_image("data:;base64," + base64.b64encode(png()).decode(), LIMITS), PICTURE)


@pytest.mark.parametrize("source", ["data:", "data:image/png;base64", "data:image/png;base64,%%%", "data:,hello"])
def test_an_address_without_an_image_is_refused(source):
    with pytest.raises(DataError):
        inline_image(source, LIMITS)
    with pytest.raises(DataError, match="more than 0 MiB"):
        inline_image("data:image/png;base64," + 15001 * "A", LIMITS)


def test_silence_names_the_cure():
    with pytest.raises(DataError, match=r"does not answer .* start Label Studio"):
        LabelStudio("http://127.0.0.1:9", "key", LIMITS).image("/x.png")


def test_an_answer_that_comes_in_drops_has_an_end(monkeypatch):
    monkeypatch.setattr(label_studio_client, "_PATIENCE", 0.3)

    class Drops(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            with suppress(OSError):
                for _ in range(1000):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.01)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Drops)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(DataError, match=r"not all of it was there after 0 seconds"):
            LabelStudio(f"http://127.0.0.1:{server.server_port}", None, Limits()).image("/data/x.png")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("address", ["localhost:8080", "", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="give one such as"):
        LabelStudio(address, None, LIMITS)


def test_a_prediction_is_posted_once_and_then_replaced(small):
    label_studio = LabelStudio(small.address, small.PERSONAL, LIMITS)
    small.predictions.append({"id": 1, "task": 7, "model_version": "another", "result": ["kept"]})
    label_studio.suggest(7, "segcode", [{"id": "first"}])
    label_studio.suggest(7, "segcode", [{"id": "second"}])
    assert [one["result"] for one in small.predictions] == [["kept"], [{"id": "second"}]]


def test_another_server_is_told_from_a_label_studio(small):
    small.files["/api/predictions/?task=7"] = b"<html>"
    with pytest.raises(DataError, match="no Label Studio"):
        LabelStudio(small.address, small.LEGACY, LIMITS).suggest(7, "segcode", [])
