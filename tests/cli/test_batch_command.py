"""`segcode batch`; a run of Ray is a process of its own, as a shell's."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import HEIGHT, WIDTH, save, segcode, street

from segcode.tensors import IGNORE

SEGMENTER = """
import os, time
from pathlib import Path

import numpy as np

classes = ["dark", "light"]

def workers():
    lines = [line.split() for line in Path("made.txt").read_text().splitlines()]
    return {process for _, process, _, name in lines if name != "a00"}

def logits(image, name=None):
    with open("made.txt", "a") as file:
        file.write(f"{os.getppid()} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')} {name}\\n")
    if name == "deadly":
        os._exit(1)
    if name == "faulty":
        raise TypeError("a fault")
    while name != "a00" and len(workers()) < int(os.environ.get("WORKERS", "0")):
        time.sleep(0.1)
    time.sleep(float(os.environ.get("SECONDS", "0")))
    brightness = image[::4, ::4].mean(2) / 255
    probabilities = np.stack([brightness, 1 - brightness])
    return 8 * probabilities if name == "logits" else probabilities

logits.classes = classes
"""
BATCH = ["batch", "photos", "--segmenter", "python:own.logits", "--workers", "2", "-o", "out"]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Names of 20 photos in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(SEGMENTER)
    names = [f"a{index:02d}" for index in range(20)]
    for index, name in enumerate(names):
        street(Path("photos", f"{name}.png"), seed=index)
    return names


def start(*arguments, **environment) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from segcode.cli import main; main()", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=os.environ | environment, **pipes)


def manifest(out: str) -> list[dict[str, str]]:
    with Path(out, "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def made() -> list[list[str]]:
    """The parent, process, threads and name of each prediction."""
    return [line.split() for line in Path("made.txt").read_text().splitlines()]


def maps(out: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(out).glob("*.png")}


def test_without_the_extra_the_error_names_it(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = segcode(*BATCH)
    assert ran.code == 2
    assert "pip install 'segcode[ray]'" in ran.err
    assert not Path("out").exists()


def test_two_workers_give_the_maps_of_refine_folder_and_list_what_fails(photos):
    pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    labels = np.full((HEIGHT, WIDTH), IGNORE, np.uint8)
    labels[5:9, 5:50] = 1
    save(Path("partial", "a03.png"), labels)
    common = ["photos", "--labels", "partial", "--segmenter", "python:own.logits"]
    assert segcode("refine-folder", *common, "-o", "expected").code == 0
    rows = manifest("expected")
    Path("made.txt").unlink()
    for name in ("deadly", "faulty", "logits"):
        street(Path("photos", f"{name}.png"))
    Path("photos", "damaged.png").write_bytes(b"no picture")

    running = start(*BATCH, "--labels", "partial", WORKERS="2")
    out, err = running.communicate(timeout=300)
    assert running.returncode == 2, err
    assert "20 of 24 images have maps, 1 are refined by labels, in out" in out
    assert maps("out") == maps("expected")
    assert manifest("out")[:20] == rows
    assert {row["image"] for row in manifest("out")[20:]} == {"damaged", "deadly", "faulty", "logits"}
    for problem in ("damaged.png is no image", "deadly.png kills its worker", "faulty.png: the segmenter fails"):
        assert problem in err
    assert "these are no probabilities" in err  # what the first image says holds in every worker
    workers = {process: threads for _, process, threads, _ in made()[1:]}
    assert len(workers) >= 2
    assert set(workers.values()) == {"1"}


def test_a_killed_run_goes_on_without_a_lost_or_doubled_result(photos):
    pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    running = start(*BATCH, SECONDS="0.5")
    while not Path("out/manifest.csv").exists() or len(manifest("out")) < 2:
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    done = {row["image"] for row in manifest("out") if row["problem"] == ""}
    assert 0 < len(done) < 20
    lost = min(done)
    Path("out", f"{lost}_labels.png").write_bytes(b"overwritten")
    before = len(made())

    running = start(*BATCH, "--resume")
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    assert f"20 of 20 images have maps, 0 are refined by labels, {len(done) - 1} were there" in out
    assert sorted(row["image"] for row in manifest("out")) == photos
    again = {name for *_, name in made()[before:]}
    assert again >= {*photos} - done | {lost}
    assert segcode("predict", "photos", "--segmenter", "python:own.logits", "-o", "expected").code == 0
    assert maps("out") == maps("expected")


def test_a_cluster_of_two_machines_shares_the_work(photos, tmp_path, monkeypatch):
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed: make test-ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("WORKERS", "3")
    monkeypatch.chdir("/")
    cluster = cluster_utils.Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=2)
        monkeypatch.chdir(tmp_path)
        running = start(*BATCH[:4], "--address", cluster.address, "-o", "out")
        out, err = running.communicate(timeout=300)
    finally:
        cluster.shutdown()
    assert running.returncode == 0, err
    assert "20 of 20 images have maps" in out
    assert sorted(row["image"] for row in manifest("out")) == photos
    assert len({parent for parent, *_ in made()[1:]}) == 2
    assert len({process for _, process, *_ in made()[1:]}) == 3


def test_an_address_without_a_cluster_is_refused(photos):
    pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    running = start(*BATCH, "--address", "127.0.0.1:1")
    _, err = running.communicate(timeout=300)
    assert running.returncode == 2
    assert err.splitlines()[-1].startswith("error: --address 127.0.0.1:1: ")
