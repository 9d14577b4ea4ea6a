"""How much faster `segcode batch` is on two cores than on one, with everything: start of Ray, reading, writing.

    python benchmarks/batch.py -n 2000 --rounds 3

draws the streets into batch/ once. A run on one core has one worker, and all its processes are pinned to that core.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

SIZE = ("--height", "144", "--width", "192")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=2000, help="streets")
    parser.add_argument("--rounds", type=int, default=3, help="runs on one and on two cores, in turn")
    parser.add_argument("--model", default="streets")
    given = parser.parse_args()
    images = draw(given.n)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(given.rounds):
        for cores in seconds:
            seconds[cores].append(batch(images, given.model, cores))
            print(f"round {number + 1}, {cores} of the cores: {seconds[cores][-1]:.1f} s", flush=True)
    one, two = (median(runs) for runs in seconds.values())
    print(f"{given.n} streets: {one:.1f} s on one core, {two:.1f} s on two, {one / two:.2f} times as fast (medians)")


def draw(number: int) -> Path:
    folder = Path("batch") / f"streets-{number}"
    if not folder.exists():
        segcode("data", "draw", "-o", folder, "-n", number, *SIZE)
    return folder / "images"


def batch(images: Path, model: str, cores: int) -> float:
    out = Path("batch") / "out"
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    segcode("batch", images, "--model", model, "--workers", cores, "-o", out, cores=cores)
    return time.monotonic() - began


def segcode(*arguments: object, cores: int | None = None) -> None:
    """Run a command on that many of this process's cores."""
    allowed = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-c", "from segcode.cli import main; main()", *map(str, arguments)]
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed[:cores]),
    )


if __name__ == "__main__":
    main()
