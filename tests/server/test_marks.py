from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from segcode.export.runs import encode_runs
from segcode.server.marks import MARK, REGION_PIXELS, Brush, Mark, Painting, Polygon, Region, Reset, Start
from segcode.tensors import IGNORE

SIZE = (40, 60)


def painted(*marks: Mark, size: tuple[int, int] = SIZE, scale: float = 1.0) -> Painting:
    return Painting.blank(size).with_marks(marks, scale)


def brush(label: int | None = 1, radius: float = 4, points=((20, 10), (40, 30))) -> Brush:
    return Brush(label=label, radius=radius, points=points)


def square(label: int | None, left: int, top: int, side: int) -> Polygon:
    right, bottom = left + side, top + side
    return Polygon(label=label, points=((left, top), (right, top), (right, bottom), (left, bottom)))


def region(mask: np.ndarray, label: int, whole: bool = False) -> Region:
    return Region(label=label, size=mask.shape, runs=tuple(encode_runs(mask)), whole=whole)


def test_a_brush_is_a_disc_around_its_point():
    labels = painted(brush(2, 5, ((30.5, 20.5),))).labels
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(rows - 20, columns - 30)
    assert (labels[distance < 4.5] == 2).all()
    assert (labels[distance > 6] == IGNORE).all()


def test_x_comes_before_y():
    labels = painted(brush(0, 0, ((50.5, 5.5),))).labels
    assert np.argwhere(labels == 0).tolist() == [[5, 50]]


def test_a_polygon_is_filled():
    labels = painted(square(3, 10, 5, 20)).labels
    assert (labels[6:24, 11:29] == 3).all()
    assert 18 * 18 < (labels == 3).sum() <= 21 * 21


def test_a_region_is_its_mask_and_may_come_from_another_grid():
    mask = np.zeros(SIZE, bool)
    mask[3:17, 20:50] = True
    assert np.array_equal(painted(region(mask, 1)).labels == 1, mask)
    assert np.array_equal(painted(region(mask[::2, ::2], 1)).labels == 1, mask[::2, ::2].repeat(2, 0).repeat(2, 1))


def test_a_reset_forgets_everything():
    everything = [brush(), region(np.ones(SIZE, bool), 2, whole=True), Start(code=(1.0,)), Reset()]
    painting = painted(*everything)
    assert (painting.labels == IGNORE).all()
    assert (painting.whole, painting.code) == (frozenset(), None)


def test_a_start_sets_the_code_and_keeps_the_paint():
    before = painted(brush())
    after = before.with_mark(Start(code=(1.0, -2.0)))
    assert after.code == (1.0, -2.0)
    assert np.array_equal(after.labels, before.labels)


def test_later_marks_win():
    labels = painted(square(0, 10, 10, 20), square(1, 20, 20, 15)).labels
    assert labels[25, 25] == 1
    assert labels[12, 12] == 0
    assert painted(square(1, 20, 20, 15), square(0, 10, 10, 20)).labels[25, 25] == 0


@pytest.mark.parametrize("rubber", [brush(None), square(None, 10, 10, 10)])
def test_rubbing_out_leaves_nothing_said(rubber):
    labels = painted(square(2, 0, 0, 60), rubber).labels
    assert 0 < (labels == IGNORE).sum() < labels.size
    assert set(np.unique(labels)) == {2, IGNORE}


def test_a_mark_leaves_the_painting_before_it_alone():
    before = painted()
    before.with_mark(brush())
    assert (before.labels == IGNORE).all()


def test_a_class_that_is_partly_rubbed_out_is_no_longer_known_as_a_whole():
    left = np.zeros(SIZE, bool)
    left[:, :30] = True
    accepted = painted(region(left, 1, whole=True), region(~left, 2, whole=True))
    assert accepted.whole == {1, 2}
    assert accepted.with_mark(brush(None, 2, ((5, 5),))).whole == {2}
    assert accepted.with_mark(brush(3, 2, ((5, 5),))).whole == {1, 2}


def test_the_truth_of_a_whole_class_excludes_it_elsewhere():
    mask = np.zeros(SIZE, bool)
    mask[:10] = True
    truth = painted(region(mask, 1, whole=True)).truth(4)
    known, excluded = truth.planes().bool().numpy().reshape(2, 4, *SIZE)
    assert np.array_equal(known[1], mask)
    assert np.array_equal(excluded[1], ~mask)
    assert not painted(region(mask, 1)).truth(4).planes()[4:].any()


@pytest.mark.parametrize("mark", [brush(1, 6), square(1, 10, 6, 24), brush(1, 3, ((2, 2), (50, 8), (30, 38)))])
def test_marks_mean_the_same_on_a_smaller_copy(mark):
    small = painted(mark, size=(SIZE[0] // 2, SIZE[1] // 2), scale=0.5).labels == 1
    share = (painted(mark).labels == 1).reshape(20, 2, 30, 2).mean((1, 3))
    assert small[share == 1].mean() > 0.9
    assert small[share == 0].mean() < 0.05


@pytest.mark.parametrize(
    "mark", [brush(), brush(None), square(1, 2, 3, 4), region(np.eye(5, dtype=bool), 1), Start(code=(0.5,)), Reset()]
)
def test_marks_survive_being_written(mark):
    assert MARK.validate_json(mark.model_dump_json()) == mark


def test_marks_have_ids_of_their_own():
    assert brush().id != brush().id


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"kind": "brush", "label": 255, "radius": 1, "points": [[1, 1]]}, "less than 255"),
        ({"kind": "brush", "label": 1, "radius": 1, "points": []}, "at least 1"),
        ({"kind": "brush", "label": 1, "radius": float("nan"), "points": [[1, 1]]}, "finite"),
        ({"kind": "brush", "label": 1, "radius": 1, "points": [[1, 1]], "size": 3}, "Extra"),
        ({"kind": "brush", "label": 1, "radius": 1, "points": [[1, 1]], "id": "../a"}, "pattern"),
        ({"kind": "spray"}, "does not match any of the expected tags"),
        ({"kind": "region", "label": 1, "size": [2, 3], "runs": [5]}, "add up to 5 pixels, not to 2 x 3"),
        ({"kind": "region", "label": 1, "size": [2, 3], "runs": [7, -1]}, "greater than or equal to 0"),
        ({"kind": "region", "label": 1, "size": [90_000, 90_000], "runs": [90_000**2]}, "too large"),
        ({"kind": "start", "code": [1e300]}, "less than or equal"),
    ],
)
def test_marks_that_make_no_sense_are_refused(wrong, why):
    with pytest.raises(ValidationError, match=why):
        MARK.validate_json(json.dumps(wrong))


def test_a_region_may_be_as_large_as_a_photograph_that_is_uploaded():
    assert REGION_PIXELS >= 64 * 10**6


@pytest.mark.parametrize("radius", [0, 0.1, 0.4])
def test_a_click_marks_its_pixel_however_fine_the_brush(radius):
    for x, y in ((50.5, 5.5), (50.0, 5.0), (50.9, 5.9)):
        assert painted(brush(0, radius, ((x, y),))).labels[5, 50] == 0


def test_fewer_than_three_corners_enclose_nothing():
    for points in (((3, 3),), ((3, 3), (9, 9))):
        assert (Painting.blank((12, 12)).with_marks([Polygon(label=1, points=points)]).labels == IGNORE).all()
