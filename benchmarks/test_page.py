"""The page in Chromium: from a stroke to the repainted map, and ten people who paint at once."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import websockets
from PIL import Image

from segcode.data.resize import resize_image
from segcode.data.sources import open_source
from segcode.export.picture import write_picture

STROKES = 200
PAINTERS = 10
SECONDS = 60


class Annotating:
    """`segcode annotate` in a process of its own."""

    def __init__(self, folder: Path, model: str) -> None:
        images = folder / "images"
        source = open_source("streets", None, "test", 360, 480)
        for index in range(PAINTERS):
            write_picture(images / f"street_{index}.png", source[index].image)
        command = [sys.executable, "-c", "from segcode.cli import main; main()", "annotate", str(images)]
        options = ["-o", str(folder / "work"), "--port", "0", "--no-browser", "--model", model]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        found = (re.search(r"127\.0\.0\.1:\d+", line) for line in self.process.stdout or ())
        self.host = next(match[0] for match in found if match)

    @property
    def memory(self) -> float:
        """Of the process, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def json(self, path: str) -> object:
        with urlopen(f"http://{self.host}/{path}") as answer:
            return json.loads(answer.read())


@pytest.fixture
def annotating(tmp_path: Path, device: str) -> Iterator[Annotating]:
    if device != "cpu":
        pytest.skip("the page is timed on the CPU")
    server = Annotating(tmp_path, "camvid")
    yield server
    server.process.terminate()
    server.process.wait()


@contextmanager
def chromium() -> Iterator[Any]:
    found = shutil.which("chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    if found is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def report(benchmark: Any, name: str, times: list[float]) -> None:
    """Times that the browser took itself, in ms."""
    median, high = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    benchmark.extra_info.update(count=len(times), median_ms=median, p95_ms=high)
    benchmark.pedantic(lambda: None)
    print(f"\n{name}: {len(times)} times, median {median:.0f} ms, 95th percentile {high:.0f} ms")


def test_strokes(benchmark, annotating):
    """200 strokes by mouse: from the newest movement that a map has in it until that map is drawn."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://{annotating.host}/#street_0")
        page.wait_for_selector("body[data-marks]")
        box = page.locator("#board").bounding_box()
        for number in range(STROKES):
            page.keyboard.press(str(1 + number % 9))
            x = box["x"] + box["width"] * (0.05 + 0.8 * (number * 0.37 % 1))
            y = box["y"] + box["height"] * (0.05 + 0.9 * (number * 0.61 % 1))
            page.mouse.move(x, y)
            page.mouse.down()
            for step in range(8):
                page.mouse.move(x + 8 * step, y)
                page.wait_for_timeout(16)
            page.mouse.up()
            page.wait_for_selector(f"body[data-marks='{number + 1}']")
        page.wait_for_timeout(500)
        report(benchmark, "stroke to map", page.evaluate(
            "performance.getEntriesByName('stroke to map').map((one) => one.duration)"))  # fmt: skip


def test_painters(benchmark, annotating):
    """Ten sessions that paint for a minute: every stroke is kept, nothing fails, and memory stays what it was."""

    async def paint(name: str, until: float) -> int:
        strokes = 0
        async with websockets.connect(f"ws://{annotating.host}/api/images/{name}/live", max_size=None) as socket:
            while time.monotonic() < until:
                points = [[20 + (strokes * 53) % 400, 20 + (strokes * 31) % 300]]
                mark = {"kind": "brush", "id": str(uuid.uuid4()), "label": strokes % 11, "radius": 4, "points": points}
                for step in range(4):
                    points.append([points[0][0] + 8 * step, points[0][1]])
                    await socket.send(json.dumps({"type": "draw", "mark": mark}))
                    await asyncio.sleep(0.03)
                await socket.send(json.dumps({"type": "add", "mark": mark}))
                strokes += 1
                while True:
                    message = await socket.recv()
                    if isinstance(message, str):
                        answer = json.loads(message)
                        assert answer["type"] not in ("problem", "unsaved"), answer
                        if answer["type"] == "saved":
                            break
        return strokes

    async def all_paint(seconds: float) -> list[int]:
        until = time.monotonic() + seconds
        return await asyncio.gather(*(paint(f"street_{index}", until) for index in range(PAINTERS)))

    begun = asyncio.run(all_paint(SECONDS / 3))
    early = annotating.memory
    later = benchmark.pedantic(lambda: asyncio.run(all_paint(2 * SECONDS / 3)))
    strokes = [one + other for one, other in zip(begun, later, strict=True)]
    kept = [annotating.json(f"api/images/street_{index}/document")["marks"] for index in range(PAINTERS)]
    assert kept == strokes
    benchmark.extra_info.update(strokes=sum(strokes), early_mib=early, late_mib=annotating.memory)
    print(f"\n{PAINTERS} painters, {SECONDS} s: {sum(strokes)} strokes, none lost; "
          f"{early:.0f} MiB after a third of it, {annotating.memory:.0f} MiB at the end")  # fmt: skip


def test_large_photograph(benchmark, annotating):
    """Time between two frames while a photograph of 3840 x 2880 pixels is zoomed and moved."""
    street = open_source("streets", None, "test", 360, 480)[0].image
    content = io.BytesIO()
    Image.fromarray(resize_image(street, 2880, 3840)).save(content, format="JPEG", quality=90)
    urlopen(f"http://{annotating.host}/api/images?name=large.jpg", content.getvalue()).close()
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://{annotating.host}/#uploads%2Flarge")
        page.wait_for_selector("body[data-marks]")
        page.wait_for_timeout(1000)
        page.evaluate(
            "() => { window.frames_ = []; let last = performance.now();"
            "const next = (now) => { window.frames_.push(now - last); last = now; requestAnimationFrame(next); };"
            "requestAnimationFrame(next); }"
        )
        page.mouse.move(600, 400)
        for _ in range(20):
            page.mouse.wheel(0, -120)
            page.wait_for_timeout(16)
        page.mouse.down(button="right")
        for step in range(60):
            page.mouse.move(600 + 3 * step, 400 - 2 * step)
            page.wait_for_timeout(16)
        page.mouse.up(button="right")
        report(benchmark, "frame", page.evaluate("window.frames_"))
