"""Working on one item ahead or behind, so that files are coded while the network works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Content = TypeVar("Content")


def prefetch(read: Callable[[Item], Content], items: Iterable[Item]) -> Iterator[Content]:
    """Read the items in order, as `map` does, the next one in a thread while the caller works on the last.

    If `read` writes, the items are written while the next ones are made. What it raises is raised when the item's turn
    comes.
    """
    with ThreadPoolExecutor(1) as thread:
        coming: Future[Content] | None = None
        for item in items:
            following = thread.submit(read, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
