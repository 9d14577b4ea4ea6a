"""The pictures of docs/page.md: `.venv/bin/python tests/screenshots.py docs/images`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import Page

from segcode.data.sources import open_source
from segcode.evaluation.annotator import next_click
from segcode.export.picture import write_picture
from segcode.tensors import LabelImage
from serving import Served, chromium

FIRST = 2
STROKES = 3


def main(out: Path) -> None:
    source = open_source("streets", None, "test", 360, 480)
    with TemporaryDirectory() as folder, chromium() as browser:
        for index in range(8):
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
        served.kill()


def correct(page: Page, served: Served, name: str, labels: LabelImage, number: int) -> None:
    """A short stroke in the middle of the largest region that is wrong."""
    click = next_click(served.png(name, "labels.png"), labels, np.random.default_rng(0))
    assert click is not None
    page.locator("#classes .class").nth(int(labels[click.row, click.column])).click()
    box = page.locator("#board").bounding_box()
    assert box is not None
    x, y = ((place + 0.5) / side * length for place, side, length in (
        (click.column, labels.shape[1], box["width"]), (click.row, labels.shape[0], box["height"])))  # fmt: skip
    page.mouse.move(box["x"] + x - 8, box["y"] + y)
    page.mouse.down()
    page.mouse.move(box["x"] + x + 8, box["y"] + y, steps=4)
    page.mouse.up()
    page.wait_for_selector(f"body[data-marks='{number + 1}']")
    page.wait_for_timeout(300)


main(Path(sys.argv[1]))
