from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from urllib.request import urlopen

import numpy as np
import pytest
from command_line import make_model_folder, segcode, street

from segcode.field.constants import load_constants
from segcode.files import alone


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def images(tmp_path):
    street(tmp_path / "images" / "a.png")
    return tmp_path / "images"


def test_help_says_what_becomes_of_the_work():
    ran = segcode("annotate", "--help")
    assert ran.code == 0
    for words in ("--port", "--token", "--memory", "WORK/journals"):
        assert words in ran.out


def test_a_second_server_on_the_same_work_is_refused(model, images):
    with alone(images / "annotations", "segcode annotate"):
        ran = segcode("annotate", images, "--model", model, "--port", 0)
    assert ran.code == 2
    assert "annotations is in use by another `segcode annotate`: end that one, or give -o" in ran.err


def test_work_whose_server_ended_may_be_continued(tmp_path):
    for _ in range(2):
        with alone(tmp_path / "deep" / "work", "segcode annotate"):
            assert (tmp_path / "deep" / "work").is_dir()


def test_a_port_that_is_taken_is_named(model, images):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = segcode("annotate", images, "--model", model, "--port", port)
    assert ran.code == 2
    assert f"127.0.0.1 port {port} cannot be bound to (Address already in use): give another --port" in ran.err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["nowhere/*.png"], "is no file, folder or matching pattern"),
        (["--token", ""], "--token is empty"),
        (["--port", "70000"], "65535"),
        (["--model", "nothing"], "no shipped model is called 'nothing'"),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path, monkeypatch, options, why):
    monkeypatch.chdir(tmp_path)
    ran = segcode("annotate", "--model", "streets", *options)
    assert ran.code == 2
    assert why in ran.err


@pytest.mark.parametrize("given", [None, "s3cret"])
def test_only_an_address_that_others_reach_asks_for_a_token(model, images, monkeypatch, given):
    served = []
    monkeypatch.setattr("segcode.server.run.serve", lambda app, host, port, token, browser: served.append(token))
    options = [] if given is None else ["--token", given]
    for host in ("127.0.0.1", "0.0.0.0"):
        ran = segcode("annotate", images, "--model", model, "--host", host, *options)
        assert ran.code == 0, ran.err
    assert served[0] == given
    assert served[1] == given if given else len(served[1]) >= 32


def test_any_segmenter_is_served_with_the_constants_that_were_fitted(images, tmp_path, monkeypatch):
    (tmp_path / "arrays").mkdir()
    for path in images.glob("*.png"):
        np.save(tmp_path / "arrays" / f"{path.stem}.npy", np.eye(11, dtype=np.float32)[5, :, None, None] * 9 - 1)
    fitted = replace(load_constants(), pull=0.5)
    fitted.save(tmp_path / "constants.json")
    served = []
    monkeypatch.setattr("segcode.server.run.serve", lambda app, *rest: served.append(app))
    given = ("--segmenter", f"arrays:{tmp_path / 'arrays'}", "--classes", "camvid", "--constants", tmp_path)
    ran = segcode("annotate", images, *given)
    assert ran.code == 0, ran.err
    studio = served[0].state.studio
    photograph = studio.library.all()[0]
    session = studio.session(photograph.name, photograph.read, photograph.name)
    assert (session.first == 5).all()
    assert session._refiner.constants == fitted


def test_the_page_is_where_it_is_said_to_be(model, images, tmp_path):
    command = "import sys; from segcode.cli import main; main(sys.argv[1:])"
    options = ["annotate", images, "-o", tmp_path / "work", "--model", model, "--port", "0", "--no-browser"]
    server = subprocess.Popen([sys.executable, "-c", command, *map(str, options)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline().startswith("Model ")
        assert "1 images; the work is kept in" in server.stdout.readline()
        address = re.search(r"The page is at (http://127\.0\.0\.1:\d+/) ", server.stdout.readline())[1]
        with urlopen(f"{address}health", timeout=30) as answer:
            assert json.load(answer)["status"] == "UP"
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in the background of a shell, and inherited
    assert server.returncode == (0 if ignored else 130)
