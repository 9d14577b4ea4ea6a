"""Reading one item ahead, so that the disk works while the network does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Content = TypeVar("Content")


def ahead(read: Callable[[Item], Content], items: Iterable[Item]) -> Iterator[Content]:
    """Read the items in order, as `map` does, the next one in a thread while the caller works on the last.

    Args:
        read: such as `source.__getitem__`; what it raises is raised when the item's turn comes.
        items: such as indices.
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
