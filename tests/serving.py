"""`segcode annotate` as a user starts it, in a process of its own that can be killed and started again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image as Pillow

FIRST = "0_documentation"
"""The first image that a program finds: the client in the documentation works on it, and nothing else does."""

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium; without it, or without playwright, what asks for it is left out."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is not tested: playwright is missing")
    if CHROMIUM is None:
        pytest.skip("the page is not tested: there is no Chromium (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Served:
    def __init__(self, images: Path, work: Path, model: str = "streets", options: tuple[str, ...] = ()) -> None:
        self.images, self.work, self.model, self.options = images, work, model, options
        self.port = 0
        self.start()

    def start(self) -> None:
        """On the same port as before, so that open tabs find it again."""
        command = [sys.executable, "-c", "from segcode.cli import main; main()", "annotate", str(self.images)]
        options = ["-o", str(self.work), "--port", str(self.port), "--no-browser", "--model", self.model]
        options += self.options
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, env={**os.environ})
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(found[1])
                return
        raise AssertionError("the server ended before it said where it is")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def runs(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def get(self, path: str) -> bytes:
        with urlopen(self.address + path) as answer:
            return answer.read()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def png(self, name: str, kind: str) -> np.ndarray:
        with urlopen(f"{self.address}api/images/{name}/export/{kind}") as answer:
            return np.array(Pillow.open(answer))
