"""A pool of threads: SciPy's factorisations, and solving with them, release Python's global lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Generic, TypeVar

T = TypeVar("T")


class Later(Generic[T]):
    """The result of some work, in a thread of the pool; with one thread, in `result` itself.

    The work must not wait for another `Later`, or both could wait for ever.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._future: Future[T] | None = _pool().submit(work) if threads() > 1 else None

    def result(self) -> T:
        """The result; waits for it. Raises what the work raised."""
        if self._future is None:
            self._future = Future()
            self._future.set_result(self._work())
        return self._future.result()

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return self._future is not None and self._future.done()


@cache
def threads() -> int:
    """Number of threads: `OMP_NUM_THREADS`, as for PyTorch; else as many as there are processors."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), "field")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads stay behind
