"""Reading one item ahead and writing one behind, so that files are coded while the network works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Content = TypeVar("Content")


def prefetch(read: Callable[[Item], Content], items: Iterable[Item]) -> Iterator[Content]:
    """Read the items in order, as `map` does, the next one in a thread while the caller works on the last.

    What `read` raises is raised when the item's turn comes.
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


def write_behind(write: Callable[[Item], None], items: Iterable[Item]) -> None:
    """Write the items in order, each in a thread while the next one is made.

    What `write` raises is raised when the next item is there, or at the end.
    """
    for _ in prefetch(write, items):
        pass
