"""Kill and compare: what was acknowledged is there, and nothing stale or half-written is.

    python tests/soak/soak.py [--minutes 20] [--only server] [--out soak]

Each section works through the command line and the HTTP interface alone, kills with SIGKILL at random times, starts
again and compares. It ends with a table and writes it to OUT/soak.json; the exit code is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
from PIL import Image as Pillow
from websockets.sync.client import connect

SEGCODE = [sys.executable, "-c", "from segcode.cli import main; main()"]
MINUTES, KILLS = 20, 50
"""Duration of a full run on two cores, and its kills of each kind. Shorter runs have fewer."""

PAINTERS = 20
EXPERIMENT = """
epochs = 4
batch = 2
[data]
kind = "folder"
root = "data"
[model]
size = [32, 48]
width = 4
code_size = 6
code_channels = 4
[optimiser]
learning_rate = 1e-2
averaging = 0.5
"""


@dataclass
class Found:
    """The outcome of a section."""

    section: str
    kills: int = 0
    checks: int = 0
    faults: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def check(self, holds: bool, fault: str) -> None:
        self.checks += 1
        if not holds:
            self.faults.append(fault)
            print(f"  FAULT {self.section}: {fault}", flush=True)

    def say(self, text: str) -> None:
        print(f"[{self.section}] {text}", flush=True)


def segcode(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    command = [*SEGCODE, *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str], found: Found, what: str, code: int = 0) -> str:
    output = process.communicate(timeout=600)[0]
    found.check(process.returncode == code, f"{what} ended with {process.returncode}: {output[-500:]}")
    found.check("Traceback" not in output, f"{what} printed a traceback: {output[-500:]}")
    return output


def killed(process: subprocess.Popen[str], after: float) -> bool:
    """Kill a process after some seconds; whether it still ran."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(after)
    running = process.poll() is None
    process.kill()
    process.communicate()
    return running


def hidden(folder: Path) -> list[str]:
    """Files that a killed process may have left half-written; a lock is no such file."""
    paths = (path.relative_to(folder) for path in folder.rglob(".*"))
    return sorted(str(path) for path in paths if path.name != ".lock")


# ------------------------------------------------------------------------------------------------ the server


class Server:
    def __init__(self, images: Path, work: Path) -> None:
        self.images, self.work, self.port = images, work, 0
        self.start()

    def start(self) -> None:
        options = ["--model", "streets", "-o", self.work, "--port", self.port, "--no-browser"]
        self.process = segcode("annotate", self.images, *options, cwd=self.work.parent)
        lines = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.append(line)
            if match := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(match[1])
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        raise RuntimeError("the server did not start: " + "".join(lines))

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def resident(self, kind: str = "VmRSS") -> float:
        """MiB of memory, or with "VmHWM" the most that it was."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{kind}:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


@dataclass(frozen=True)
class Work:
    """The expected work on an image: all marks, how many count, and whether the image is done."""

    marks: tuple[str, ...] = ()
    count: int = 0
    done: bool = False

    @property
    def visible(self) -> tuple[str, ...]:
        return self.marks[: self.count]

    def mark(self, name: str) -> Work:
        return Work((*self.visible, name), self.count + 1)

    def undo(self) -> Work:
        return Work(self.marks, self.count - 1) if self.count else self

    def redo(self) -> Work:
        return Work(self.marks, self.count + 1) if self.count < len(self.marks) else self

    def set_done(self, done: bool) -> Work:
        return Work(self.marks, self.count, done)


class Painter:
    """Works on an image of its own, and knows what was acknowledged and what may have been."""

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        self.name, self.size = name, size
        self.draw = random.Random(name)
        self.sure = self.perhaps = Work()
        self.acknowledged = 0
        self.refused: list[str] = []

    def run(self, client: httpx.Client, stop: threading.Event) -> None:
        with suppress(httpx.HTTPError):
            while not stop.is_set():
                path, content, after = self._next()
                self.perhaps = after
                answer = client.post(f"/api/images/{self.name}/{path}", json=content)
                if answer.is_success:
                    self.sure = after
                    self.acknowledged += 1
                else:
                    self.perhaps = self.sure
                    self.refused.append(f"{path}: {answer.status_code} {answer.text[:200]}")

    def _next(self) -> tuple[str, object, Work]:
        kind = self.draw.choices(("mark", "undo", "redo", "done", "open"), (6, 2, 1, 3, 1))[0]
        if kind == "mark":
            name, (height, width) = f"m{self.draw.getrandbits(60)}", self.size
            points = [[self.draw.uniform(0, width), self.draw.uniform(0, height)] for _ in range(2)]
            mark = {"kind": "brush", "id": name, "label": self.draw.randrange(11), "radius": 3, "points": points}
            return "marks", mark, self.sure.mark(name)
        if kind in ("done", "open"):
            return "state", {"done": kind == "done"}, self.sure.set_done(kind == "done")
        return kind, None, getattr(self.sure, kind)()

    def compare(self, client: httpx.Client, work: Path, found: Found) -> None:
        """After a restart the image is as it was acknowledged, or as the last thing that was asked for made it."""
        state = client.get(f"/api/images/{self.name}/document").json()["state"]
        marks = tuple(mark["id"] for mark in client.get(f"/api/images/{self.name}/export/marks.json").json())
        candidates = [
            each for each in (self.perhaps, self.sure) if (each.visible, each.done) == (marks, state == "done")
        ]
        found.check(
            bool(candidates),
            f"{self.name} has {len(marks)} marks and is {state}; {self.sure.count} and done={self.sure.done} were "
            f"acknowledged, or {self.perhaps.count} and done={self.perhaps.done} asked for",
        )
        if not candidates:  # go on from what is there
            candidates = [Work(marks, len(marks), state == "done")]
        self.sure = self.perhaps = candidates[0]
        for folder, kind in (("labels", "labels.png"), ("truth", "truth.png")):
            path = work / folder / f"{self.name}.png"
            found.check(path.exists() == self.sure.done, f"{path} is there: {path.exists()}; done: {self.sure.done}")
            if path.exists() and self.sure.done:
                exported = client.get(f"/api/images/{self.name}/export/{kind}").content
                kept, current = (np.asarray(Pillow.open(BytesIO(each))) for each in (path.read_bytes(), exported))
                different = float((kept != current).mean()) if kept.shape == current.shape else 1.0
                found.check(different == 0, f"{path} differs in {different:.2%}")


def check_server(folder: Path, kills: int) -> Found:
    """Kills while painters paint, each on an image of its own."""
    found = Found("server")
    images, work = folder / "images", folder / "work"
    size = (60, 80)
    draw_images(folder / "drawn", PAINTERS, *size)
    shutil.copytree(folder / "drawn" / "images" / "train", images)
    painters = [Painter(path.stem, size) for path in sorted(images.iterdir())]
    draw = random.Random(0)
    server = Server(images, work)
    while found.kills < kills:
        stop = threading.Event()
        with server.client() as client:
            threads = [threading.Thread(target=each.run, args=(client, stop)) for each in painters]
            for thread in threads:
                thread.start()
            time.sleep(draw.uniform(0.1, 1.5))
            server.kill()
            found.kills += 1
            stop.set()
            for thread in threads:
                thread.join()
        server.start()
        with server.client() as client:
            for painter in painters:
                painter.compare(client, work, found)
        found.check(not hidden(work), f"left over: {hidden(work)}")
        found.say(f"kill {found.kills} of {kills}, {sum(each.acknowledged for each in painters)} acknowledged")
    server.kill()
    found.figures["acknowledged"] = sum(each.acknowledged for each in painters)
    for painter in painters:
        found.check(not painter.refused, f"{painter.name} was refused: {painter.refused[:1]}")
    return found


# ------------------------------------------------------------------------------------------------ training


def train(folder: Path, out: str, *options: object) -> subprocess.Popen[str]:
    return segcode("train", "soak.toml", "-o", out, *options, cwd=folder)


def trained_data(folder: Path) -> None:
    draw_images(folder / "data", 8, 48, 64)
    draw_images(folder / "data", 2, 48, 64, split="val", seed=1)
    (folder / "soak.toml").write_text(EXPERIMENT)


def started(process: subprocess.Popen[str], out: Path) -> None:
    """Wait until a training has begun to write: importing takes longer than all the rest."""
    before = (out / "logs").stat().st_mtime if (out / "logs").exists() else 0.0
    while process.poll() is None and not ((out / "logs").exists() and (out / "logs").stat().st_mtime > before):
        time.sleep(0.01)


def check_training(folder: Path, kills: int) -> Found:
    """A training that is killed and resumed until it is through gives the bytes of an undisturbed one."""
    found = Found("training")
    trained_data(folder)
    process = train(folder, "undisturbed")
    started(process, folder / "undisturbed")
    began = time.monotonic()
    finish(process, found, "the undisturbed training")
    seconds = time.monotonic() - began
    expected = (folder / "undisturbed" / "model" / "model.safetensors").read_bytes()
    draw, number = random.Random(1), 0
    while found.kills < kills:
        number += 1
        out = folder / f"killed{number}"
        while not (out / "model").exists():
            resume = ["--resume"] if (out / "checkpoints" / "last.ckpt").exists() else []
            process = train(folder, out.name, *resume)
            started(process, out)
            if found.kills < kills and killed(process, draw.uniform(0, 0.4 * seconds)):
                found.kills += 1
                found.say(f"kill {found.kills} of {kills}, training {number}")
            else:
                output = "" if process.stdout is None or process.stdout.closed else process.communicate()[0]
                found.check(process.returncode in (0, -signal.SIGKILL), f"training {number} failed: {output[-500:]}")
                if process.returncode not in (0, -signal.SIGKILL):
                    return found
        if hidden(out):  # what a kill left is removed when the same file is written again
            finish(train(folder, out.name, "--resume"), found, f"training {number}, resumed once more")
        found.check(not hidden(out), f"training {number} left {hidden(out)}")
        model = (out / "model" / "model.safetensors").read_bytes()
        found.check(model == expected, f"training {number} gave another model")
        shutil.rmtree(out)
    found.figures["trainings"] = number
    return found


# ------------------------------------------------------------------------------------------------ batches


def check_batches(folder: Path, kills: int) -> Found:
    """Files of `predict` and `refine-folder` are whole whenever they are there; a second run completes them."""
    found = Found("batches")
    draw_images(folder / "drawn", 24, 120, 160)
    images, labels = folder / "drawn" / "images" / "train", folder / "partial"
    labels.mkdir()
    for number, path in enumerate(sorted((folder / "drawn" / "labels" / "train").iterdir())):
        known = np.array(Pillow.open(path))
        known[random.Random(number).randrange(known.shape[0]) + 3 :] = 255
        known[:, ::2] = 255
        Pillow.fromarray(known).save(labels / path.name)
    commands = {
        "predict": ["predict", images, "--model", "streets"],
        "refine-folder": ["refine-folder", images, "--labels", labels, "--model", "streets"],
    }
    draw = random.Random(2)
    for name, command in commands.items():
        began = time.monotonic()
        finish(segcode(*command, "-o", f"whole-{name}", cwd=folder), found, name)
        seconds = time.monotonic() - began
        whole = folder / f"whole-{name}"
        expected = {str(path.relative_to(whole)): path.read_bytes() for path in whole.rglob("*") if path.is_file()}
        wanted, number = found.kills + -(-kills // 2), 0
        while found.kills < wanted:
            number += 1
            out = folder / f"killed-{name}"
            running = killed(segcode(*command, "-o", out.name, cwd=folder), draw.uniform(0.3, 1.0) * seconds)
            found.kills += running
            seconds *= 1.0 if running else 0.8  # the machine has become faster
            for path in filter(Path.is_file, out.rglob("*")):
                key = str(path.relative_to(out))
                if path.suffix == ".csv":  # grows line by line until it is put in order
                    lines = set(path.read_bytes().splitlines()[:-1])
                    found.check(lines <= set(expected[key].splitlines()), f"{name}: {key} has other lines after a kill")
                elif not path.name.startswith("."):
                    found.check(path.read_bytes() == expected.get(key), f"{name}: {key} is not whole after a kill")
            if number % 5 == 0 or found.kills == wanted:
                finish(segcode(*command, "-o", out.name, cwd=folder), found, f"{name}, once more")
                again = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
                found.check(again == expected, f"{name} once more: {sorted(again.keys() ^ expected.keys())[:5]}")
                shutil.rmtree(out)
            found.say(f"kill {found.kills} of {kills}, {name}")
    return found


# ------------------------------------------------------------------------------------------------ slow readers


def check_slow_readers(folder: Path, seconds: float) -> Found:
    """Tabs that do not read hold up no stroke of another, and the server's memory stays bounded."""
    found = Found("slow readers")
    draw_images(folder / "drawn", 2, 240, 320)
    images = folder / "drawn" / "images" / "train"
    server = Server(images, folder / "work")
    name = sorted(path.stem for path in images.iterdir())[0]
    painter = Painter(name, (240, 320))
    address = f"ws://127.0.0.1:{server.port}/api/images/{name}/live"
    slowest, memory = 0.0, [server.resident()]
    end = time.monotonic() + seconds
    with server.client() as client, ExitStack() as tabs:
        for _ in range(10):
            tabs.enter_context(
                connect(address, max_queue=1, ping_interval=None, close_timeout=1)
            )  # a queue that nobody empties
        while time.monotonic() < end:
            path, content, _ = painter._next()
            began = time.monotonic()
            answer = client.post(f"/api/images/{name}/{path}", json=content)
            slowest = max(slowest, time.monotonic() - began)
            found.check(answer.is_success, f"{path}: {answer.status_code} {answer.text[:200]}")
            memory.append(server.resident())
            if len(memory) % 50 == 0:
                found.say(f"{len(memory)} strokes and steps, slowest {slowest:.2f} s, {memory[-1]:.0f} MiB")
        server.kill()
    found.figures |= {
        "asked": len(memory) - 1,
        "slowest_seconds": round(slowest, 2),
        "grown_mib": round(max(memory) - memory[0]),
    }
    found.check(slowest < 10, f"one answer took {slowest:.1f} s")
    found.check(max(memory) - memory[0] < 512, f"memory grew by {max(memory) - memory[0]:.0f} MiB")
    return found


# ------------------------------------------------------------------------------------------------ responsive

LONGEST_WAIT, MOST_MEMORY = 0.1, 1500  # seconds, MiB
MEGABYTE = 2**20 - 100
HOSTILE = {
    "points": b'{"kind":"polygon","label":1,"points":[' + b"[1,1]," * 24_000 + b"1]}",
    "runs": b'{"kind":"region","label":1,"size":[1,1],"runs":[' + b"1," * (MEGABYTE // 2 - 50) + b"1]}",
    "fractions": b'{"kind":"region","label":1,"size":[1,1],"runs":[' + b"1.5," * (MEGABYTE // 4 - 50) + b"1]}",
    "keys": b'{"kind":"reset",' + b",".join(b'"k%d":1' % number for number in range(900)) + b"}",
    "text": b'{"kind":"' + b"x" * MEGABYTE + b'"}',
    "10 MB": b"[" * 10_000_000,
}
EXPORTS = ("labels.png", "ids.png", "colours.png", "coco.json", "truth.png", "marks.json")


def longest_wait(port: int, work: Callable[[], object]) -> float:
    """The longest that /health took, asked every 3 ms, while some work was done; seconds."""
    waits, stop = [0.0], threading.Event()

    def watch() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while not stop.wait(0.003):
            began = time.perf_counter()
            connection.request("GET", "/health")
            connection.getresponse().read()
            waits.append(time.perf_counter() - began)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            work()
        finally:
            stop.set()
        watching.result()
    return max(waits)


def photograph(path: Path, height: int, width: int) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 40, width // 40, 3), np.uint8)
    Pillow.fromarray(coarse).resize((width, height), Pillow.Resampling.BICUBIC).save(path)


def check_responsive(folder: Path) -> Found:
    """Large and hostile requests hold up no others, and thumbnails of large photographs take little memory.

    Each request is made three times: what it costs itself returns, what the machine does beside it does not. What the
    server that does nothing takes at the most, asked as long as a request lasts, is subtracted.
    """
    found = Found("responsive")
    images = folder / "images"
    images.mkdir()
    photograph(images / "m.jpg", 3000, 4000)
    for number in range(30):
        path, kind = images / f"p{number}", ".jpg" if number < 20 else ".png"
        if number in (0, 20):
            photograph(path.with_suffix(kind), 6000, 8000)
        else:
            os.link(images / ("p0.jpg" if number < 20 else "p20.png"), path.with_suffix(kind))
    server = Server(images, folder / "work")
    marks, json_type = "/api/images/m/marks", {"Content-Type": "application/json"}
    rle = b'{"action":"x","annotation":{"id":1,"result":[{"value":{"rle":[' + b"99," * 999_000 + b"1]}}]}}"
    stroke = {"kind": "brush", "id": "a", "label": 3, "radius": 50, "points": [[500, 2500], [3000, 2700]]}
    with server.client() as client:

        def post(path: str, body: bytes) -> Callable[[], httpx.Response]:
            return lambda: client.post(path, content=body, headers=json_type)

        def get(path: str) -> Callable[[], httpx.Response]:
            return lambda: client.get(f"/api/images/m/{path}")

        requests = {f"mark of {name}": post(marks, body) for name, body in HOSTILE.items()}
        requests |= {"Label Studio, numbers": post("/webhook", rle)}
        requests |= {"Label Studio, lists": post("/predict", b'{"tasks":[' + b"[]," * 99_000 + b"1]}")}
        requests |= {"stroke": post(marks, json.dumps(stroke).encode())}
        requests |= {f"export {kind}": get(f"export/{kind}") for kind in EXPORTS}
        requests |= {"done": post("/api/images/m/state", b'{"done":true}'), "picture": get("picture")}

        def thumbnails() -> None:
            for path in images.glob("p*"):
                os.utime(path)  # none is kept from before
            with ThreadPoolExecutor(30) as pool:
                answers = pool.map(lambda number: client.get(f"/api/images/p{number}/thumbnail").status_code, range(30))
                found.check(set(answers) == {200}, "not every thumbnail was made")

        requests["30 thumbnails at once"] = thumbnails
        slowest, worst = 0.0, ""
        for name, request in requests.items():
            began = time.monotonic()
            busy = min(longest_wait(server.port, request) for _ in range(3))
            seconds = max(1, (time.monotonic() - began) / 3)
            idle = longest_wait(server.port, partial(time.sleep, seconds))
            wait = busy - idle
            found.say(f"{name}: {1000 * wait:.0f} ms beyond the {1000 * idle:.0f} ms of the idle server")
            found.check(wait < LONGEST_WAIT, f"{name} held up others for {wait:.2f} s")
            slowest, worst = max((slowest, worst), (wait, name))
        memory = server.resident("VmHWM")
        found.check(memory < MOST_MEMORY, f"30 thumbnails took {memory:.0f} MiB")
    server.kill()
    found.say(f"the longest wait was that of {worst}")
    found.figures |= {"wait_ms": round(1000 * slowest), "peak_mib": round(memory)}
    return found


# ------------------------------------------------------------------------------------------------ full disk


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[bool]:
    """A file system of a few kilobytes; False where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the space that is left."""
    path = folder / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    return path


def check_full_disk(folder: Path, rounds: int) -> Found:
    """A full disk refuses with a reason and loses nothing; once there is space the work goes on."""
    found = Found("full disk")
    with small_disk(folder / "disk", 4096) as mounted:
        if not mounted:
            found.say("left out: no file system may be mounted here")
            return found
        draw_images(folder / "drawn", 1, 60, 80)
        server = Server(folder / "drawn" / "images" / "train", folder / "disk" / "work")
        painter = Painter(next((folder / "drawn" / "images" / "train").iterdir()).stem, (60, 80))
        refused = 0
        for number in range(rounds):
            filler = fill(folder / "disk")
            with server.client() as client:
                for _ in range(40):
                    path, content, after = painter._next()
                    answer = client.post(f"/api/images/{painter.name}/{path}", json=content)
                    painter.perhaps = painter.sure = after if answer.is_success else painter.sure
                    refused += answer.status_code == 507
                    found.check(
                        answer.is_success or answer.status_code == 507,
                        f"{path}: {answer.status_code} {answer.text[:200]}",
                    )
                filler.unlink()
                path, content, after = "marks", *painter_mark(painter)
                answer = client.post(f"/api/images/{painter.name}/{path}", json=content)
                found.check(answer.is_success, f"with space again: {answer.status_code} {answer.text[:200]}")
                painter.perhaps = painter.sure = after if answer.is_success else painter.sure
            server.kill()
            found.kills += 1
            server.start()
            with server.client() as client:
                painter.compare(client, folder / "disk" / "work", found)
            found.check(not hidden(folder / "disk" / "work"), f"left over: {hidden(folder / 'disk' / 'work')}")
            found.say(f"round {number + 1} of {rounds}, {refused} refused")
        server.kill()
        found.figures["refused"] = refused
        found.check(refused > 0, "nothing was refused, so the disk was not full")
    trained_data(folder)
    finish(train(folder, "undisturbed"), found, "the undisturbed training")
    needed = sum(path.stat().st_size for path in (folder / "undisturbed").rglob("*")) // 1024
    with small_disk(folder / "run", 2 * needed) as mounted:
        process = train(folder, "run")
        while process.poll() is None and not (folder / "run" / "checkpoints" / "last.ckpt").exists():
            time.sleep(0.01)
        filler = fill(folder / "run")
        output = process.communicate()[0]
        if process.returncode:  # else it was through before the disk was full
            found.check(process.returncode == 1 and "No space left" in output, f"training: {output[-500:]}")
            found.check("Traceback" not in output, f"training on a full disk: {output[-700:]}")
        filler.unlink()
        if process.returncode:
            finish(train(folder, "run", "--resume"), found, "resuming with space again")
        models = [(folder / out / "model" / "model.safetensors").read_bytes() for out in ("run", "undisturbed")]
        found.check(models[0] == models[1], "the training that met a full disk gave another model")
        found.say(f"training met the full disk: {process.returncode != 0}")
    return found


def painter_mark(painter: Painter) -> tuple[object, Work]:
    while True:
        path, content, after = painter._next()
        if path == "marks":
            return content, after


# ------------------------------------------------------------------------------------------------ all of it


def draw_images(folder: Path, count: int, height: int, width: int, split: str = "train", seed: int = 0) -> None:
    options = ["-n", count, "--height", height, "--width", width, "--split", split, "--seed", seed]
    process = segcode("data", "draw", "-o", folder, *options, cwd=folder.parent)
    output = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(output)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="about how long; kills are in proportion")
    parser.add_argument("--only", default="", help="one section: server, training, batches, slow, responsive, full")
    parser.add_argument("--out", type=Path, default=Path("soak"), help="a folder for the work and soak.json")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    share = options.minutes / MINUTES
    kills = max(2, round(KILLS * share))
    sections: dict[str, Callable[[Path], Found]] = {
        "server": lambda folder: check_server(folder, kills),
        "training": lambda folder: check_training(folder, kills),
        "batches": lambda folder: check_batches(folder, kills),
        "slow": lambda folder: check_slow_readers(folder, 60 * share),
        "responsive": check_responsive,
        "full": lambda folder: check_full_disk(folder, max(1, round(5 * share))),
    }
    results, seconds = [], {}
    for name, section in sections.items():
        if options.only in ("", name):
            folder = options.out.resolve() / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            began = time.monotonic()
            results.append(section(folder))
            seconds[results[-1].section] = round(time.monotonic() - began)
    print(f"\n{'section':14}{'kills':>7}{'checks':>9}{'faults':>8}{'seconds':>9}   figures")
    for each in results:
        figures = ", ".join(f"{name} {value:g}" for name, value in each.figures.items())
        print(
            f"{each.section:14}{each.kills:7}{each.checks:9}{len(each.faults):8}{seconds[each.section]:9}   {figures}"
        )
    record = [asdict(each) | {"seconds": seconds[each.section]} for each in results]
    (options.out / "soak.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"written to {options.out / 'soak.json'}")
    return int(any(each.faults for each in results))


if __name__ == "__main__":
    sys.exit(main())
