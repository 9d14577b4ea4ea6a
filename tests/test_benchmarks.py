"""The stages that `make bench` times, on a small problem: one that no longer runs would time nothing."""

from __future__ import annotations

import bench
import pytest
from problems import CLICKS, Case, Problem, problem_of

LIMITS = {"set_image, without the segmenter": 1e6, "a click": 0.0}


@pytest.fixture(scope="module", params=[("camvid", 11), (None, 19)], ids=["model", "function"])
def problem(request) -> Problem:
    segmenter, classes = request.param
    return problem_of(Case("small", (96, 128), classes, segmenter, LIMITS))


def test_every_stage_takes_time_and_limits_are_compared_with_it(problem):
    rows = {row.stage: row for row in bench.timed(problem, rounds=1)}
    assert all(row.median > 0 for row in rows.values() if "without" not in row.stage)
    assert {name for name, row in rows.items() if row.limit is not None} == LIMITS.keys()
    assert not rows["a click"].passes
    assert rows["set_image, without the segmenter"].passes


def test_clicks_label_more_and_more(problem):
    lengths = [len(truth) for truth in problem.clicks]
    assert len(lengths) == CLICKS
    assert lengths == sorted(lengths)


def test_the_peak_counts_the_images_own_memory(problem):
    assert bench.peak_of(problem, problem.clicks) >= problem.refiner().nbytes / 1e6


def test_strokes_on_large_images_have_their_limits():
    case = Case("small", (96, 128), 19, None, {"a click": 0.0, "peak memory, MB": 1e6}, stride=1)
    rows = {row.stage: row for row in bench.strokes(problem_of(case), rounds=1)}
    assert {name for name, row in rows.items() if row.limit is not None} == case.limits.keys()
    assert not rows["a click"].passes
    assert rows["peak memory, MB"].passes


def test_every_rival_gives_a_map():
    problem = problem_of(Case("small", (96, 128), 11, "camvid", {}))
    names = [row.stage for row in bench.rivals(problem, rounds=1)]
    assert names[0] == "segcode"
    assert len(names) == len(set(names)) >= 5


def test_a_table_has_a_line_for_each_stage():
    rows = [bench.Row("one", 1.0, 2.0, 3.0), bench.Row("two", 1.0, 2.0)]
    lines = bench.table(["stage", "best", "median", "limit"], rows).splitlines()
    assert lines[2:] == ["| one | 1.0 | 2.0 | 3 |", "| two | 1.0 | 2.0 |  |"]
