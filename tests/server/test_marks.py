from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from segcode.export.runs import encode_runs
from segcode.server.marks import REGION_PIXELS, AnyMark, Brush, Mark, Painting, Polygon, Region, Reset, Start, started
from segcode.tensors import IGNORE
from segcode.truth.mask import label_truth, mask_truth
from segcode.truth.truth import Extent

SIZE = (40, 60)
MARK = TypeAdapter(AnyMark)


def painted(*marks: Mark, size: tuple[int, int] = SIZE, scale: float = 1.0) -> Painting:
    return Painting.blank(size).with_marks(marks, scale)


def brush(label: int | None = 1, radius: float = 4, points=((20, 10), (40, 30))) -> Brush:
    return Brush(label=label, radius=radius, points=points)


def square(label: int | None, left: int, top: int, side: int) -> Polygon:
    right, bottom = left + side, top + side
    return Polygon(label=label, points=((left, top), (right, top), (right, bottom), (left, bottom)))


def region(mask: np.ndarray, label: int, extent: Extent = "part") -> Region:
    return Region(label=label, size=mask.shape, runs=tuple(encode_runs(mask)), extent=extent)


def rectangle(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    return mask


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
    everything = [brush(), region(np.ones(SIZE, bool), 2, "exhaustive"), Start(seed=1, index=2), Reset()]
    painting = painted(*everything)
    assert (painting.labels == IGNORE).all()
    assert (painting.exhaustive, painting.regions) == (frozenset(), None)
    assert started(everything) == []


def test_a_start_keeps_the_labels_and_begins_a_new_truth():
    start = Start(seed=1, index=2)
    painting = painted(brush(1), start, brush(2, points=((5, 35),)))
    assert set(np.unique(painting.labels)) == {1, 2, IGNORE}
    assert set(np.unique(painting.truth(4).labels)) == {2, -1}


def test_the_last_start_counts_with_the_marks_before_it():
    marks = [brush(), Start(seed=1, index=2), brush(2), Start(seed=5, index=0), brush(3)]
    assert started(marks) == marks[:4]
    assert started(marks[:1]) == []
    assert started([*marks, Reset(), brush()]) == []


def test_later_marks_win():
    labels = painted(square(0, 10, 10, 20), square(1, 20, 20, 15)).labels
    assert labels[25, 25] == 1
    assert labels[12, 12] == 0
    assert painted(square(1, 20, 20, 15), square(0, 10, 10, 20)).labels[25, 25] == 0


@pytest.mark.parametrize("rubber", [brush(None), square(None, 10, 10, 10)])
def test_erasing_leaves_pixels_without_a_label(rubber):
    labels = painted(square(2, 0, 0, 60), rubber).labels
    assert 0 < (labels == IGNORE).sum() < labels.size
    assert set(np.unique(labels)) == {2, IGNORE}


def test_a_mark_leaves_the_painting_before_it_alone():
    before = painted()
    before.with_mark(brush())
    assert (before.labels == IGNORE).all()


def test_a_class_that_is_partly_erased_is_no_longer_exhaustive():
    left = rectangle(slice(None), slice(30))
    accepted = painted(region(left, 1, "exhaustive"), region(~left, 2, "exhaustive"))
    assert accepted.exhaustive == {1, 2}
    assert accepted.with_mark(brush(None, 2, ((5, 5),))).exhaustive == {2}
    assert accepted.with_mark(brush(3, 2, ((5, 5),))).exhaustive == {1, 2}


def test_the_extent_of_a_mark_is_that_of_its_truth():
    mask, other = rectangle(slice(10), slice(None)), rectangle(slice(20, 30), slice(10, 20))
    for extent in ("part", "outline", "exhaustive"):
        expected = mask_truth(mask, 1, 4, extent) + mask_truth(other, 2, 4, "outline")
        truth = painted(region(mask, 1, extent), region(other, 2, "outline")).truth(4)
        assert np.array_equal(truth.labels, expected.labels)
        assert np.array_equal(truth.excluded(), expected.excluded())
        for number in range(3):  # the regions are the same, whatever their numbers
            assert len(np.unique(truth.regions[expected.regions == number])) <= 1


def test_a_stroke_outlines_nothing_and_a_polygon_its_region():
    assert painted(brush()).truth(4).regions is None
    assert np.array_equal(painted(square(2, 10, 10, 9)).truth(4).regions > 0, painted(square(2, 10, 10, 9)).labels == 2)


@pytest.mark.parametrize("label", [3, None])
def test_an_outlined_region_ends_where_it_is_overpainted_or_erased(label):
    before = painted(square(1, 5, 5, 20), square(2, 30, 5, 20))
    after = before.with_mark(brush(label, 4, ((5, 15),)))
    over = painted(brush(3, 4, ((5, 15),))).labels == 3
    assert (after.regions[over] == 0).all()
    assert np.array_equal(after.regions[~over], before.regions[~over])


def test_outlines_that_do_not_change_stay_the_same_array():
    """The refiner keeps its factorisation by that."""
    before = painted(square(1, 5, 5, 20))
    assert before.with_mark(brush(2, 3, ((50, 30),))).regions is before.regions


def test_the_truth_of_strokes_is_that_of_their_labels():
    painting = painted(brush(1), brush(2, points=((5, 35), (9, 30))))
    assert np.array_equal(painting.truth(4).labels, label_truth(painting.labels, 4).labels)


def test_the_truth_of_an_exhaustive_class_has_its_labels_from_before_a_start():
    mask = rectangle(slice(10), slice(None))
    truth = painted(region(mask, 1, "exhaustive"), brush(2, 3, ((30, 30),)), Start(seed=1, index=0)).truth(4)
    assert np.array_equal(truth.labels == 1, mask)
    assert not (truth.labels == 2).any()
    assert np.array_equal(truth.excluded()[1], ~mask)


@pytest.mark.parametrize("mark", [brush(1, 6), square(1, 10, 6, 24), brush(1, 3, ((2, 2), (50, 8), (30, 38)))])
def test_marks_mean_the_same_on_a_smaller_copy(mark):
    small = painted(mark, size=(SIZE[0] // 2, SIZE[1] // 2), scale=0.5).labels == 1
    share = (painted(mark).labels == 1).reshape(20, 2, 30, 2).mean((1, 3))
    assert small[share == 1].mean() > 0.9
    assert small[share == 0].mean() < 0.05


@pytest.mark.parametrize(
    "mark",
    [brush(), brush(None), square(1, 2, 3, 4), region(np.eye(5, dtype=bool), 1), Start(seed=3, index=7), Reset()],
)
def test_marks_survive_being_written(mark):
    assert MARK.validate_json(mark.model_dump_json()) == mark


def test_marks_have_ids_of_their_own():
    assert brush().id != brush().id


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"kind": "brush", "label": 256, "radius": 1, "points": [[1, 1]]}, "less than or equal to 255"),
        ({"kind": "brush", "label": 1, "radius": 1, "points": []}, "at least 1"),
        ({"kind": "brush", "label": 1, "radius": float("nan"), "points": [[1, 1]]}, "finite"),
        ({"kind": "brush", "label": 1, "radius": 1, "points": [[1, 1]], "size": 3}, "Extra"),
        ({"kind": "brush", "label": 1, "radius": 1, "points": [[1, 1]], "id": "../a"}, "pattern"),
        ({"kind": "spray"}, "does not match any of the expected tags"),
        ({"kind": "region", "label": 1, "size": [2, 3], "runs": [5]}, "add up to 5 pixels, not to 2 x 3"),
        ({"kind": "region", "label": 1, "size": [2, 3], "runs": [7, -1]}, "greater than or equal to 0"),
        ({"kind": "region", "label": 1, "size": [90_000, 90_000], "runs": [90_000**2]}, "too large"),
        ({"kind": "start", "seed": 1, "index": 8}, "less than 8"),
        ({"kind": "polygon", "label": 1, "points": [[1, 1]], "extent": "whole"}, "part"),
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


@pytest.mark.parametrize("label", [True, 1.0, "1"])
def test_a_class_is_an_index_and_nothing_that_looks_like_one(label):
    with pytest.raises(ValidationError, match="valid integer"):
        Brush(label=label, points=((1, 1),), radius=1)
