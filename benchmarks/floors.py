"""What the machine can do at best, and what a piece of work takes at least."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Floor:
    """Rates of one device, measured.

    Attributes:
        multiply: operations a second of a 2048 x 2048 matrix product in float32.
        copy: bytes a second, read and written, of a copy of 128 MB.
    """

    multiply: float
    copy: float

    def seconds(self, operations: float, size: float) -> float:
        """At least so long takes work of so many operations and bytes."""
        return max(operations / self.multiply, size / self.copy)


def measure_floor(device: str) -> Floor:
    square = torch.randn(2048, 2048, device=device)
    long = torch.randn(32_000_000, device=device)
    other = torch.empty_like(long)
    return Floor(
        2 * 2048**3 / seconds(lambda: square @ square, device),
        2 * long.numel() * 4 / seconds(lambda: other.copy_(long), device),
    )


def seconds(work: Callable[[], object], device: str, rounds: int = 7) -> float:
    """The median time of some work."""
    return median(timed(work, device) for _ in range(rounds + 1))


def timed(work: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def operations(work: Callable[[], object]) -> int:
    """Multiplications and additions in the matrix products and convolutions of some work."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def peak_memory(work: Callable[[], object], device: str) -> int:
    """Bytes that some work allocates beyond what is allocated already, at its peak."""
    if device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    import memray  # for Linux and macOS alone

    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.bin"
        with memray.Tracker(trace):
            work()
        return memray.FileReader(trace).metadata.peak_memory
