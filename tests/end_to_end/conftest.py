from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from segcode.data.sources import open_source
from segcode.export.picture import write_picture
from serving import FIRST, Served, chromium

COPIES = 60
NAMES = (f"street_{index}" for index in range(COPIES))


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Served]:
    """A server with as many copies of a drawn street that the shipped model has never seen, and one named `FIRST`."""
    images = tmp_path_factory.mktemp("images")
    street = open_source("streets", None, "test", 360, 480)[2].image
    for name in (FIRST, *(f"street_{index}" for index in range(COPIES))):
        write_picture(images / f"{name}.png", street, result=False)
    server = Served(images, tmp_path_factory.mktemp("work"))
    yield server
    server.kill()


@pytest.fixture
def served(server) -> Served:
    """The server, started again if an earlier test failed while it was killed."""
    if not server.runs():
        server.start()
    return server


@pytest.fixture
def street(served) -> str:
    """The name of an image that no other test works on."""
    return next(NAMES)


@pytest.fixture
def open_page(browser, served, street) -> Iterator[Callable]:
    """Tabs of one browser profile, on the test's own image; what goes wrong in them fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    problems: list[str] = []

    def open_(chosen: bool = True):
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: r.url.startswith((served.address, "blob:")) or problems.append(f"left: {r.url}"))
        page.goto(f"{served.address}#{street}")
        page.wait_for_selector("body[data-ready]")
        page.wait_for_selector("body[data-marks]")
        if chosen:
            page.keyboard.press("1")
        return page

    yield open_
    context.close()
    assert problems == []
