"""Work that threads share: SciPy's factorisations, and solving with them, leave Python's lock to others."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Generic, TypeVar

T = TypeVar("T")


class Later(Generic[T]):
    """What some work gives. Another thread does it meanwhile; if there is none, it is done once it is asked for.

    The work waits for nothing else that was started so.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._future: Future[T] | None = _pool().submit(work) if threads() > 1 else None

    def result(self) -> T:
        """Wait for it. Raises what the work raised."""
        if self._future is None:
            self._future = Future()
            self._future.set_result(self._work())
        return self._future.result()

    @property
    def done(self) -> bool:
        """Whether it is there."""
        return self._future is not None and self._future.done()


@cache
def threads() -> int:
    """`OMP_NUM_THREADS`, as for PyTorch; else as many as there are processors."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), "field")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads stay behind
