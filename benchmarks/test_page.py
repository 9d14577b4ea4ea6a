"""The page in Chromium: from a stroke to the repainted map, and ten people who paint at once."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import websockets

from segcode.data.sources import open_source
from segcode.export.picture import write_picture

STROKES = 200
PAINTERS = 10
SECONDS = 60


class Annotating:
    """`segcode annotate` in a process of its own."""

    def __init__(self, folder: Path, model: str, memory: int = 2048) -> None:
        images = folder / "images"
        source = open_source("streets", None, "test", 360, 480)
        for index in range(PAINTERS):
            write_picture(images / f"street_{index}.png", source[index].image)
        command = [sys.executable, "-c", "from segcode.cli import main; main()", "annotate", str(images)]
            sys.executable,
            "-c",
            "from segcode.cli import main; main()",
            "annotate",
            str(images),
            "--no-browser",
        ]
        options = ["-o", str(folder / "work"), "--port", "0", "--model", model, "--memory", str(memory)]
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


def test_strokes(benchmark, annotating):
    """200 strokes by mouse; each counts from the end of its last movement until the map that has it is drawn."""
    chromium = shutil.which("chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    if chromium is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://{annotating.host}/#street_0")
        page.wait_for_selector("body[data-marks]")
        box = page.locator("#board").bounding_box()

        def stroke(number: int) -> None:
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

        for number in range(STROKES):
            stroke(number)
        page.wait_for_timeout(500)
        times = page.evaluate("performance.getEntriesByName('stroke to map').map((one) => one.duration)")
        browser.close()
    benchmark.extra_info["maps"] = len(times)
    benchmark.extra_info["median_ms"] = statistics.median(times)
    benchmark.extra_info["p95_ms"] = statistics.quantiles(times, n=20)[-1]
    benchmark.pedantic(lambda: None)  # the times are the browser's own
    print(f"\nstroke to map: {len(times)} maps, median {statistics.median(times):.0f} ms, "
          f"95th percentile {statistics.quantiles(times, n=20)[-1]:.0f} ms")  # fmt: skip


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

    async def all_paint() -> list[int]:
        until = time.monotonic() + SECONDS
        return await asyncio.gather(*(paint(f"street_{index}", until) for index in range(PAINTERS)))

    before = annotating.memory
    strokes = benchmark.pedantic(lambda: asyncio.run(all_paint()))
    kept = [annotating.json(f"api/images/street_{index}/document")["marks"] for index in range(PAINTERS)]
    assert kept == strokes
    benchmark.extra_info.update(strokes=sum(strokes), before_mib=before, after_mib=annotating.memory)
    print(f"\n{PAINTERS} painters, {SECONDS} s: {sum(strokes)} strokes, none lost; "
          f"{before:.0f} MiB before, {annotating.memory:.0f} MiB after")  # fmt: skip
