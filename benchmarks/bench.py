"""Times and memory of what a user waits for, beside what may be spent, as Markdown; and of the rivals' refinements.

Run `make bench`, or `python benchmarks/bench.py`. It exits with 1 if a limit is passed by the median of several rounds.
"""

from __future__ import annotations

import gc
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from problems import ALL_PIXELS, LARGE, PHOTOGRAPH, SHIPPED, Problem, problem_of

from segcode.edges.network import network_features
from segcode.evaluation.baselines.heads import Heads, HeadsConfig
from segcode.evaluation.baselines.rivals import RivalConstants, make_rivals
from segcode.evaluation.methods import Method, Refined
from segcode.field.grid import Grid
from segcode.field.precision import Precision, edge_weights
from segcode.model.segcode import SegCode
from segcode.refinement.refiner import Refiner, as_segmenter
from segcode.truth.truth import Truth

ROUNDS = 7
PEAK = 200
"""Megabytes that a refinement may take over the model's at 1024 x 2048."""


class Row(NamedTuple):
    """Milliseconds, or megabytes, of one stage."""

    stage: str
    best: float
    median: float
    limit: float | None = None

    @property
    def passes(self) -> bool:
        return self.limit is None or self.median <= self.limit


Stage = Callable[[], object]


def main() -> None:
    print(setting())
    failed = []
    for case in (SHIPPED, LARGE):
        problem = problem_of(case)
        rows = timed(problem)
        print(f"\n{case.name}:\n\n{table(['stage', 'best, ms', 'median, ms', 'limit, ms'], rows)}")
        peak = peak_of(problem, [*problem.clicks, problem.half])
        print(f"\nPeak memory of a refinement over the model's: {peak:.0f} MB ({PEAK} at most at 1024 x 2048).")
        failed += [row for row in rows if not row.passes]
        if case is LARGE and peak > PEAK:
            failed.append(Row("peak memory", peak, peak, PEAK))
    for case in (ALL_PIXELS, PHOTOGRAPH):
        rows = strokes(problem_of(case))
        print(f"\n{case.name}:\n\n{table(['stage', 'best', 'median', 'limit'], rows)}")
        failed += [row for row in rows if not row.passes]
    compared = table(["method", "best, ms", "median, ms"], rivals(problem_of(SHIPPED)))
    print(f"\nRivals, ten clicks on {SHIPPED.name}:\n\n{compared}")
    for row in failed:
        print(f"\n{row.stage} takes {row.median:.1f}: at most {row.limit:g} is wanted")
    sys.exit(bool(failed))


def timed(problem: Problem, rounds: int = ROUNDS) -> list[Row]:
    """Every stage of one problem, and what `set_image` adds to the segmenter."""
    refiner = problem.refiner()
    found = [measured(name, work, rounds) for name, work in stages(problem, refiner).items()]
    added = opening(problem, refiner, rounds)
    refiner.reset()
    clicks = clicking(problem, refiner, rounds)
    rows = [*found[:2], added, *found[2:4], clicks, *found[4:], *later(problem, refiner)]
    return [row._replace(limit=problem.case.limits.get(row.stage)) for row in rows]


def strokes(problem: Problem, rounds: int = 3) -> list[Row]:
    """What a stroke waits for, where a mask of half the image or a prediction of all classes would take gigabytes."""
    refiner = problem.refiner()
    rows = [opening(problem, refiner, rounds), clicking(problem, refiner, rounds)]
    rows.append(measured("preview of a stroke", stages(problem, refiner)["preview of a stroke"], rounds))
    del refiner
    peak = peak_of(problem, [*problem.clicks, problem.stroke])
    logits = math.prod(problem.case.size) // problem.case.stride**2 * problem.case.classes * 4 / 1e6
    beyond = peak - (logits if problem.case.segmenter is None else 0)
    rows.append(Row("peak memory, MB", beyond, beyond))
    return [row._replace(limit=problem.case.limits.get(row.stage)) for row in rows]


def opening(problem: Problem, refiner: Refiner, rounds: int) -> Row:
    """What `set_image` adds to the segmenter."""
    segmenter = as_segmenter(problem.segmenter)
    pairs = [  # in turns: what else the machine does slows both
        milliseconds(lambda: refiner.set_image(problem.image)) - milliseconds(lambda: segmenter.predict(problem.image))
        for _ in range(rounds)
    ]
    return summary("set_image, without the segmenter", pairs)


def clicking(problem: Problem, refiner: Refiner, rounds: int) -> Row:
    """Clicks, one after the other, to the new labels."""
    refiner.reset()
    return summary("a click", [milliseconds(lambda truth=truth: refiner.refine(truth).labels)
                               for _ in range(rounds) for truth in problem.clicks])  # fmt: skip


def stages(problem: Problem, refiner: Refiner) -> dict[str, Stage]:
    """Work by name, each on an image without labels."""
    image, constants, grid = problem.image, refiner.constants, Grid.over(problem.case.size)
    features, segmenter = network_features(image, grid), as_segmenter(problem.segmenter)

    def factorisation() -> Precision:
        weights = edge_weights(features, grid, constants)
        return Precision(grid, weights, constants.pull, constants.prior_variance).factorised()

    def mask() -> np.ndarray:
        refiner.reset()
        return refiner.refine(problem.half).labels

    def preview() -> np.ndarray:
        refiner.reset()
        return refiner.preview(problem.stroke).labels

    return {
        "set_image": lambda: refiner.set_image(image),
        "the segmenter alone": lambda: segmenter.predict(image),
        "edge network": lambda: network_features(image, grid),
        "edge weights and factorisation": factorisation,
        "preview of a stroke": preview,
        "mask of half the image": mask,
    }


def later(problem: Problem, refiner: Refiner) -> list[Row]:
    """Times of requests to the posterior after ten clicks."""
    refiner.reset()
    refiner.refine(problem.clicks[-1])
    return [
        measured("four samples", lambda: refiner.sample(4), 3),
        measured("predictive, 16 draws", lambda: refiner.predictive(16), 1),
        measured("places to look", lambda: refiner.places_to_look(8), 3),
    ]


def rivals(problem: Problem, rounds: int = 3) -> list[Row]:
    """A refinement with the ten clicks by each method; their heads are untrained, for their time alone."""
    assert isinstance(problem.segmenter, SegCode)
    refiner = problem.refiner()
    methods = [Refined(), *make_rivals(Heads(problem.segmenter, HeadsConfig()).eval(), RivalConstants()).values()]
    return [rival(method, problem, refiner, rounds) for method in methods]


def rival(method: Method, problem: Problem, refiner: Refiner, rounds: int) -> Row:
    """Times of `refine`, from the initial prediction each time."""
    times = []
    for _ in range(rounds):
        method.begin(refiner, problem.image)
        times.append(milliseconds(lambda: method.refine(problem.clicks[-1])))
    return summary(method.name, times)


def peak_of(problem: Problem, truths: list[Truth]) -> float:
    """Megabytes that an image and its refinements take at their peak over the model's; on Linux.

    The image's own memory is counted; what `set_image` needs for a while is not.
    """
    refiner = problem.refiner()
    gc.collect()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts here
    for truth in truths:
        _ = refiner.refine(truth).labels
    return memory("VmHWM") - before + refiner.nbytes / 1e6


def memory(field: str) -> float:
    """Memory of this process, in megabytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"{field}:\s+(\d+)", status)
    assert found, f"{field} is missing from /proc/self/status"
    return int(found[1]) * 1024 / 1e6


def measured(stage: str, work: Stage, rounds: int) -> Row:
    return summary(stage, [milliseconds(work) for _ in range(rounds)])


def summary(stage: str, times: list[float]) -> Row:
    return Row(stage, min(times), median(times))


def milliseconds(work: Stage) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def setting() -> str:
    """The machine, the versions and the commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, torch {torch.__version__}; commit {commit.stdout.strip() or 'unknown'}"
    )


def table(head: list[str], rows: list[Row]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:g}"
        lines.append([row.stage, f"{row.best:.1f}", f"{row.median:.1f}", limit][: len(head)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
