"""Progress bars for people: none where nobody watches."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def somebody_watches() -> bool:
    """Whether messages go to a terminal, and not to a log of a continuous-integration job."""
    from rich.console import Console

    return Console(stderr=True).is_terminal and "CI" not in os.environ


def progress(items: Iterable[T], total: int, description: str) -> Iterable[T]:
    """Go through the items under a bar on stderr, which goes away at the end."""
    from rich.console import Console
    from rich.progress import track

    hidden = total < 2 or not somebody_watches()
    return track(items, description, total, console=Console(stderr=True), transient=True, disable=hidden)
