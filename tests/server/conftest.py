from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from browser_side import ADDRESS, Server
from fastapi import FastAPI


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], Server]]:
    """Serves applications until the test ends."""
    with ExitStack() as started:
        yield lambda app: started.enter_context(Server(app, base_url=ADDRESS))
