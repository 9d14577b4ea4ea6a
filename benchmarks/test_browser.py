"""The page in Chromium: from a stroke to the repainted map, and people who paint at once."""

from __future__ import annotations

import asyncio
import io
import json
import re
import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import websockets
from PIL import Image
from playwright.sync_api import Page

from segcode.data.resize import resize_image
from segcode.data.sources import open_source
from segcode.export.picture import write_picture
from serving import Served, chromium

IMAGES = 10
STROKES = 20
PAINTERS = 20
SECONDS = 60


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    source = open_source("streets", None, "test", 360, 480)
    for index in range(PAINTERS):
        write_picture(tmp_path / "images" / f"street_{index}.png", source[index].image, result=False)
    server = Served(tmp_path / "images", tmp_path / "work", "camvid")
    yield server
    server.kill()


def memory(served: Served) -> float:
    """Memory of the server's process, in MiB."""
    status = Path(f"/proc/{served.process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def report(name: str, times: list[float]) -> None:
    """Times that the browser took itself, in ms."""
    median, high = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    print(f"\n{len(times)} {name}, median {median:.0f} ms, 95th percentile {high:.0f} ms")


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1280, "height": 800})


def opened(page: Page, served: Served, name: str) -> dict[str, float]:
    """Open an image; returns the place of the image on the screen."""
    page.goto("about:blank")
    page.goto(f"{served.address}#{quote(name, safe='')}")
    page.wait_for_selector("body[data-marks]")
    return page.locator("#board").bounding_box()


def strokes(page: Page, box: dict[str, float]) -> list[float]:
    """Paint by mouse; returns the ms from each newest movement that a map has in it until that map is drawn."""
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
    return measured(page)


def measured(page: Page) -> list[float]:
    """The times that the page took itself, in ms."""
    return page.evaluate("performance.getEntriesByName('stroke to map').map((one) => one.duration)")


def test_strokes(served, page):
    times = [time for image in range(IMAGES) for time in strokes(page, opened(page, served, f"street_{image}"))]
    report(f"maps of {STROKES} strokes on each of {IMAGES} images", times)


def test_ticks_and_fills(served, page):
    """The tick of each class, taken back before the next; then a click of the tool that fills."""
    ticks, fills = [], []
    for image in range(IMAGES):
        box = opened(page, served, f"street_{image}")
        for key in "123456":
            page.keyboard.press(key)
            page.keyboard.press("a")
            page.wait_for_selector("body[data-marks='1']")
            page.keyboard.press("Control+z")
            page.wait_for_selector("body[data-marks='0']")
        ticks += measured(page)
        page.keyboard.press("f")
        for number in range(4):
            page.mouse.click(box["x"] + box["width"] * (0.1 + 0.25 * number), box["y"] + box["height"] * 0.6)
            page.wait_for_selector(f"body[data-marks='{number + 1}']")
        fills += measured(page)[-4:]
    report("ticks", ticks)
    report("fills", fills)


def test_painters(served):
    """Twenty sessions that paint for a minute: every stroke is kept, nothing fails, and memory stays what it was."""

    async def paint(name: str, until: float) -> int:
        strokes = 0
        async with websockets.connect(
            f"{served.address.replace('http', 'ws')}api/images/{name}/live", max_size=None
        ) as socket:
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
    early = memory(served)
    later = asyncio.run(all_paint(2 * SECONDS / 3))
    strokes = [one + other for one, other in zip(begun, later, strict=True)]
    kept = [served.json(f"api/images/street_{index}/document")["marks"] for index in range(PAINTERS)]
    assert kept == strokes
    late = memory(served)
    print(f"\n{PAINTERS} painters, {SECONDS} s: {sum(strokes)} strokes, none lost; {early:.0f}, then {late:.0f} MiB")


def test_many_images(tmp_path, page):
    """500 images: the list after a restart, and each filter and the step to the next image until they are laid out."""
    source = open_source("streets", None, "test", 90, 120)
    for index in range(500):
        write_picture(tmp_path / "images" / f"street_{index:03}.png", source[index % 4].image, result=False)
    served = Served(tmp_path / "images", tmp_path / "work")

    def first_list() -> float:
        served.kill()
        served.start()
        began = time.perf_counter()
        served.get("api/images")
        return 1000 * (time.perf_counter() - began)

    report("first lists of 500 images", [first_list() for _ in range(5)])
    opened(page, served, "street_000")
    changed = """(which) => new Promise((done) => {
      const began = performance.now(), only = document.getElementById("only");
      if (which) { only.value = which; only.dispatchEvent(new Event("change")); }
      else document.getElementById("needs").click();
      document.getElementById("images").getBoundingClientRect(); // lays the list out
      done(performance.now() - began);
    })"""
    filters = ("done", "to do", "all")
    report("filters of 500 images", [page.evaluate(changed, which) for which in filters for _ in range(5)])
    report("steps to the next of 500 images", [page.evaluate(changed, "") for _ in range(5)])
    served.kill()


def test_large_photograph(served, page):
    """A photograph of 3840 x 2880 pixels: strokes, and the time between two frames while it is zoomed and moved."""
    street = open_source("streets", None, "test", 360, 480)[0].image
    content = io.BytesIO()
    Image.fromarray(resize_image(street, 2880, 3840)).save(content, format="JPEG", quality=90)
    urlopen(f"{served.address}api/images?name=large.jpg", content.getvalue()).close()
    report("maps of strokes on 11 megapixels", strokes(page, opened(page, served, "uploads/large")))
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
    report("frames", page.evaluate("window.frames_"))
