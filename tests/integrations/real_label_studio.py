"""A real Label Studio beside `segcode annotate`: `make test-label-studio` installs it and runs this."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from segcode.classes import CAMVID
from segcode.data.sources import open_source
from segcode.export.bitmask import decode_bitmask, encode_bitmask
from segcode.export.brush_runs import decode_brush, encode_brush
from segcode.export.picture import write_picture

COMMAND = os.environ["LABEL_STUDIO"]
SIZE = (360, 480)
TOKEN = "0123456789abcdef0123456789abcdef01234567"
LABELS = "".join(f'<Label value="{name.capitalize()}"/>' for name in CAMVID.names)
CONFIGURATION = f"""<View>
  <Image name="image" value="$image" smoothing="false"/>
  <TAG name="brush" toName="image" smart="false">{LABELS}</TAG>
  <KeyPointLabels name="point" toName="image" smart="true">{LABELS}</KeyPointLabels>
</View>"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(ready: Callable[[], Any], seconds: float) -> Any:
    """The result of `ready` once it is true, within a number of seconds."""
    end = monotonic() + seconds
    while not (found := ready()):
        assert monotonic() < end, f"not there after {seconds:g} seconds"
        sleep(0.2)
    return found


def answers(address: str) -> bool:
    try:
        with urlopen(address):
            return True
    except (URLError, OSError):
        return False


class LabelStudio:
    """Asked through its interface with the token of its first user."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": kind}
        with urlopen(Request(f"{self.address}/api/{path}", content, headers, method=method)) as answer:
            return json.loads(answer.read() or b"null")

    def predictions(self, task: int) -> list[dict[str, Any]]:
        return self.ask("GET", f"predictions/?task={task}")


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory) -> Iterator[LabelStudio]:
    """A Label Studio with an empty folder of its own, which may reach this machine and sends no analytics."""
    folder, port = tmp_path_factory.mktemp("label_studio"), free_port()
    settings = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
    }
    user = ["--username", "tester@segcode.example", "--password", "of-no-secret", "--user-token", TOKEN]
    where = ["--no-browser", "--internal-host", "127.0.0.1", "--port", str(port), "--enable-legacy-api-token"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [COMMAND, "start", *user, *where], cwd=folder, env={**os.environ, **settings}, stdout=log, stderr=log
        )
        try:
            until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/health"), 300)
            assert process.poll() is None, (folder / "log").read_text()
            yield LabelStudio(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def segcode(label_studio, tmp_path_factory) -> Iterator[str]:
    """Its address; it knows Label Studio by a personal access token, the kind that the web page hands out."""
    port, key = free_port(), label_studio.ask("POST", "token/", {})["token"]
    options = ["--model", "streets", "--no-browser", "-o", str(tmp_path_factory.mktemp("work"))]
    options += ["--port", str(port), "--label-studio", label_studio.address]
    process = subprocess.Popen(
        [sys.executable, "-c", "from segcode.cli import main; main()", "annotate", *options],
        env={**os.environ, "LABEL_STUDIO_API_KEY": key},
    )
    try:
        until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/health"), 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module", params=["BrushLabels", "BitmaskLabels"])
def tag(request) -> str:
    """Of the labelling configuration, for what is painted."""
    return request.param


@pytest.fixture(scope="module")
def project(label_studio, tag) -> int:
    configuration = CONFIGURATION.replace("TAG", tag)
    return label_studio.ask("POST", "projects/", {"title": tag, "label_config": configuration})["id"]


@pytest.fixture(scope="module")
def task(label_studio, project, tmp_path_factory) -> int:
    """A drawn street that was uploaded."""
    path = tmp_path_factory.mktemp("street") / "street.png"
    write_picture(path, open_source("streets", None, "test", *SIZE)[2].image)
    head = 'Content-Disposition: form-data; name="file"; filename="a street.png"\r\nContent-Type: image/png'
    body = f"--part\r\n{head}\r\n\r\n".encode() + path.read_bytes() + b"\r\n--part--\r\n"
    label_studio.ask("POST", f"projects/{project}/import", body, "multipart/form-data; boundary=part")
    (task,) = label_studio.ask("GET", f"tasks/?project={project}")["tasks"]
    return task["id"]


@pytest.fixture(scope="module")
def backend(label_studio, project, segcode) -> int:
    body = {"project": project, "url": segcode, "title": "segcode", "is_interactive": True}
    connected = label_studio.ask("POST", "ml/", body)
    assert (connected["state"], connected["model_version"]) == ("CO", "segcode streets")
    return connected["id"]


def map_of(regions: list[dict[str, Any]]) -> np.ndarray:
    labels = np.full(SIZE, 255, np.uint8)
    for region in regions:
        value, kind = region["value"], region["type"]
        mask = decode_brush(value["rle"], SIZE) if "rle" in value else decode_bitmask(value["imageDataURL"], SIZE)
        labels[mask] = CAMVID.index(value[kind][0].lower())
    return labels


def region(kind: str, control: str, **value: Any) -> dict[str, Any]:
    return {
        "id": control,
        "type": kind,
        "from_name": control,
        "to_name": "image",
        "origin": "manual",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
        "value": value,
    }


@pytest.fixture(scope="module")
def first(label_studio, project, task, backend) -> np.ndarray:
    """The map that Label Studio retrieved."""
    everything = {"selectedItems": {"all": True, "excluded": []}}
    label_studio.ask("POST", f"dm/actions/?id=retrieve_tasks_predictions&project={project}", everything)
    (prediction,) = label_studio.predictions(task)
    return map_of(prediction["result"])


def test_predictions_are_maps_of_all_pixels(label_studio, task, tag, first):
    (prediction,) = label_studio.predictions(task)
    assert {region["type"] for region in prediction["result"]} == {tag.lower()}
    assert (first != 255).all()
    assert len(np.unique(first)) >= 3


def test_a_smart_point_bends_the_map(label_studio, task, backend, first):
    point = region("keypointlabels", "point", x=50.1, y=20.1, width=0.6, keypointlabels=["Tree"], labels=["Tree"])
    body = {"task": task, "context": {"result": [{**point, "is_positive": True}]}}
    answer = label_studio.ask("POST", f"ml/{backend}/interactive-annotating", body)
    bent = map_of(answer["data"]["result"])
    assert bent[round(0.201 * SIZE[0]), round(0.501 * SIZE[1])] == CAMVID.index("tree")
    assert (bent != first).sum() > 1


def test_connecting_registers_the_webhook(label_studio, project, backend, segcode):
    (webhook,) = label_studio.ask("GET", f"webhooks/?project={project}")
    assert (webhook["url"], webhook["send_for_all_actions"]) == (f"{segcode}/webhook", True)


def test_what_is_painted_and_saved_comes_back_as_a_refined_prediction(label_studio, task, tag, first):
    sidewalk = CAMVID.index("sidewalk")
    mask = np.zeros(SIZE, bool)
    mask[-40:, 40:200] = True
    bitmask = {"imageDataURL": encode_bitmask(mask)}
    shape = bitmask if tag == "BitmaskLabels" else {"format": "rle", "rle": encode_brush(mask)}
    brush = region(tag.lower(), "brush", **shape, **{tag.lower(): ["Sidewalk"]})
    label_studio.ask("POST", f"tasks/{task}/annotations/", {"result": [brush], "lead_time": 1.0})

    def refined() -> np.ndarray | None:
        (prediction,) = label_studio.predictions(task)
        labels = map_of(prediction["result"])
        return labels if (labels[mask] == sidewalk).all() else None

    labels = until(lambda: (found := refined()) is not None and [found], 20)[0]
    assert ((labels != first) & ~mask).any()
