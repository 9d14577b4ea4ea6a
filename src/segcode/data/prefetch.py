"""Working on one item ahead or behind, so that files are coded while the network works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from segcode.errors import SegcodeError

Item = TypeVar("Item")
Content = TypeVar("Content")
Made = TypeVar("Made")
Result = TypeVar("Result")


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


def pipelined(
    items: Iterable[Item],
    read: Callable[[Item], Content],
    make: Callable[[Item, Content], Made],
    write: Callable[[Item, Made], Result],
    errors: type[Exception] = SegcodeError,
) -> Iterator[Result | Exception]:
    """Read, make and write one item after the other; meanwhile the next one is read and the last one written.

    Yields in order what `write` returns, or the error of a step, if it is one of `errors`, which do not stop the other
    items.
    """

    def attempt(step: Callable[..., Any], item: Item, *content: Any) -> Any:
        if content and isinstance(content[0], Exception):
            return content[0]
        try:
            return step(item, *content)
        except errors as problem:
            return problem

    contents = prefetch(lambda item: (item, attempt(read, item)), items)
    made = ((item, attempt(make, item, content)) for item, content in contents)
    return prefetch(lambda pair: attempt(write, *pair), made)
