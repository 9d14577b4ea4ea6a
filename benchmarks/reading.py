"""Images a second that a data set is read with: in threads, in data-loader processes, and from memory.

Run `python benchmarks/reading.py camvid PATH`, or `streets` without a path; `--size HEIGHT WIDTH` for another size.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import torch
from torch.utils.data import DataLoader

from segcode.data.dataset import Item, LabelledImages
from segcode.data.select import Subset
from segcode.data.sources import KINDS, open_source

BATCH = 8


def main() -> None:
    arguments = parse()
    height, width = arguments.size
    source = open_source(arguments.kind, arguments.root, arguments.split, height, width)
    images = LabelledImages(Subset(source, source.names[: arguments.images]), height, width)
    print(setting())
    print(f"{len(images)} images of {arguments.kind} at {height} x {width}, batches of {BATCH}, best of three\n")
    for threads in (1, 2):
        report(f"{threads} threads", images, partial(in_threads, images, threads))
    for workers in (0, 1, 2):
        report(f"{workers} workers", images, partial(in_batches, images, workers))
    kept = LabelledImages(images.source, height, width, preload=True)
    report("preloaded", kept, partial(in_batches, kept, workers=0))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--size", nargs=2, type=int, default=(144, 192), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--images", type=int, default=200)
    return parser.parse_args()


def setting() -> str:
    """The machine, the versions and the commit, on a line each."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return "\n".join(
        [
            f"machine  {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            f"versions Python {platform.python_version()}, torch {torch.__version__}, "
            f"Pillow {PIL.__version__}, numpy {np.__version__}",
            f"commit   {commit.stdout.strip() or 'none'}",
        ]
    )


def in_threads(images: LabelledImages, threads: int) -> Iterator[Item]:
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(images.__getitem__, range(len(images)))


def in_batches(images: LabelledImages, workers: int) -> Iterable[Item]:
    return DataLoader(images, batch_size=BATCH, shuffle=True, num_workers=workers)


def report(way: str, images: LabelledImages, read: Callable[[], Iterable[Item]]) -> None:
    seconds = min(timed(read) for _ in range(3))
    print(f"{way:>10}: {len(images) / seconds:8.0f} images/s")


def timed(read: Callable[[], Iterable[Item]]) -> float:
    start = time.perf_counter()
    for _ in read():
        pass
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
