"""Work that threads share: SciPy's factorisations, and solving with them, leave Python's lock to others."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")


def meanwhile(work: Callable[[], T]) -> Future[T]:
    """Start something that waits for nothing else that was started so; with one thread it is done at once."""
    if threads() > 1:
        return _pool().submit(work)
    done: Future[T] = Future()
    done.set_result(work())
    return done


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
