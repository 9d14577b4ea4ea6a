"""The pictures of docs/page.md: `.venv/bin/python tests/screenshots.py docs/images`."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page

from segcode.data.sources import open_source
from segcode.evaluation.annotator import next_click
from segcode.export.picture import write_picture
from segcode.sample import Sample
from segcode.tensors import LabelImage
from serving import Served, chromium

FIRST = 2
STROKES = 3
STREETS = 8
STRIPS = {"strip.jpg": False, "strip_keys.jpg": True}
"""Film strips of the streets whose initial predictions are the worst, and whether they are painted by keys alone."""

FRAMES = (6, 3)
"""Of a strip, and in a row: the initial prediction, and the map after each stroke."""


def main(out: Path) -> None:
    source = open_source("streets", None, "test", 360, 480)
    with TemporaryDirectory() as folder, chromium() as browser:
        for index in range(STREETS):
            write_picture(Path(folder, "images", f"{source.names[index]}.png"), source[index].image, result=False)
        served = Served(Path(folder, "images"), Path(folder, "work"))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{served.address}#{source.names[FIRST]}")
        page.wait_for_selector("body[data-marks]")
        for number in range(STROKES):
            correct(page, served, source.names[FIRST], source[FIRST].labels, number)
        page.keyboard.press("s")
        page.wait_for_selector("#samples button >> nth=7")
        page.wait_for_timeout(300)
        page.screenshot(path=out / "page.jpg", type="jpeg", quality=85)
        page.keyboard.press("r")
        page.keyboard.press("n")
        page.wait_for_timeout(4000)
        page.screenshot(path=out / "page_look.jpg", type="jpeg", quality=85)
        worst = sorted(range(STREETS), key=lambda index: right(served, source[index]))
        for street, (file, by_keys) in zip(worst, STRIPS.items(), strict=False):
            page.goto(f"{served.address}#{source.names[street]}")
            page.reload()
            page.wait_for_selector("body[data-marks='0']")
            page.keyboard.press("[")
            page.keyboard.press("[")
            strip(page, served, source[street], by_keys).save(out / file, quality=85)
        served.kill()


def right(served: Served, street: Sample) -> float:
    """The share of pixels that the page's map has right."""
    return float((served.png(street.name, "labels.png") == street.labels).mean())


def strip(page: Page, served: Served, street: Sample, by_keys: bool) -> Image.Image:
    """The board before the first stroke and after each, with the share of pixels that are right."""
    count, columns = FRAMES
    frames = []
    for number in range(count):
        if number:
            correct(page, served, street.name, street.labels, number - 1, by_keys)
            page.wait_for_timeout(2500)  # until what changed does not flash any more
        board = Image.open(BytesIO(page.locator("#board").screenshot()))
        frame = board.resize((400, round(400 * board.height / board.width))).convert("RGB")
        text = "initial prediction" if number == 0 else f"{number} stroke{'s' * (number > 1)}"
        draw = ImageDraw.Draw(frame)
        draw.rectangle((0, 0, 400, 24), (0, 0, 0))
        draw.text((8, 4), f"{text}: {right(served, street):.1%} right", (255, 255, 255), ImageFont.load_default(14))
        frames.append(frame)
    sheet = Image.new("RGB", (columns * 400, -(-count // columns) * frames[0].height))
    for number, frame in enumerate(frames):
        sheet.paste(frame, (number % columns * 400, number // columns * frame.height))
    return sheet


def correct(page: Page, served: Served, name: str, labels: LabelImage, number: int, by_keys: bool = False) -> None:
    """A short stroke in the middle of the largest region that is wrong."""
    click = next_click(served.png(name, "labels.png"), labels, np.random.default_rng(0))
    assert click is not None
    box = page.locator("#board").bounding_box()
    assert box is not None
    x = box["x"] + (click.column + 0.5) / labels.shape[1] * box["width"]
    y = box["y"] + (click.row + 0.5) / labels.shape[0] * box["height"]
    paint = paint_by_keys if by_keys else paint_by_pointer
    paint(page, int(labels[click.row, click.column]), x, y)
    page.wait_for_selector(f"body[data-marks='{number + 1}']")
    page.wait_for_timeout(300)


def paint_by_pointer(page: Page, label: int, x: float, y: float) -> None:
    page.locator("#classes .class").nth(label).click()
    page.mouse.move(x - 4, y)
    page.mouse.down()
    page.mouse.move(x + 4, y, steps=4)
    page.mouse.up()


def paint_by_keys(page: Page, label: int, x: float, y: float) -> None:
    page.keyboard.press(f"{'Shift+' * (label >= 10)}Digit{(label + 1) % 10}")
    page.keyboard.press("Shift+ArrowRight")  # from here on the pointer follows the keys
    stage = page.locator("#stage").bounding_box()
    assert stage is not None
    left, top = page.evaluate(
        "['left', 'top'].map((side) => parseFloat(document.getElementById('cursor').style[side]))"
    )
    for away, back, ahead in ((x - 4 - stage["x"] - left, "Left", "Right"), (y - stage["y"] - top, "Up", "Down")):
        tens, ones = divmod(round(abs(away)), 10)
        for key in (*["Arrow"] * tens, *["Shift+Arrow"] * ones):
            page.keyboard.press(key + (ahead if away > 0 else back))
    for key in ("Space", *["Shift+ArrowRight"] * 8, "Space"):
        page.keyboard.press(key)


main(Path(sys.argv[1]))
