from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcode.errors import TruthError
from segcode.truth.scribble import box_truth, point_truth, polygon_truth, scribble_truth

SIZE = (20, 30)
TRIANGLE = [(2, 3), (2, 25), (17, 3)]


def test_points_label_single_pixels():
    truth = point_truth([(0, 0), (19, 29)], 1, 3, SIZE)
    assert truth.pixels.tolist() == [[0, 0], [19, 29]]
    assert truth.regions is None


def test_a_stroke_labels_its_line_and_is_cut_off_at_the_border():
    labelled = scribble_truth([(10, 0), (10, 29)], 2, 3, SIZE, radius=1.5).labels == 2
    assert labelled[10].all()
    assert not labelled[:7].any()
    assert not labelled[14:].any()


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0, 4.0])
def test_a_brush_labels_the_pixel_that_it_is_on_and_none_beyond_a_neighbour_of_its_disk(radius):
    rows, columns = np.nonzero(scribble_truth([(10, 15)], 0, 3, SIZE, radius).known_mask)
    distance = np.hypot(rows - 10, columns - 15)
    assert distance.min() == 0
    assert distance.max() <= radius + np.sqrt(2)


def test_a_stroke_that_excludes_a_class_covers_the_same_pixels_and_leaves_the_other_classes():
    points = [(3, 3), (12, 20)]
    stroke, excluding = (scribble_truth(points, 1, 3, SIZE, excluded=excluded) for excluded in (False, True))
    assert np.array_equal(excluding.pixels, stroke.pixels)
    assert (excluding.allowed == [True, False, True]).all()
    assert not excluding.known_mask.any()


@pytest.mark.parametrize(
    "make", [lambda e: polygon_truth(TRIANGLE, 1, 3, SIZE, *e), lambda e: box_truth(((2, 3), (9, 12)), 1, 3, SIZE, *e)]
)
def test_polygons_and_boxes_are_outlines_unless_another_extent_is_given(make):
    outline, part, exhaustive = make([]), make(["part"]), make(["exhaustive"])
    assert np.array_equal(outline.regions > 0, outline.known_mask)
    assert not outline.exhaustive.any()
    assert part.regions is None
    assert exhaustive.exhaustive[1]
    assert np.array_equal(part.labels, exhaustive.labels)


def test_a_polygon_labels_the_pixels_inside_and_on_its_edge():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    beyond = (rows - 2) / 15 + (columns - 3) / 22 - 1  # of the long side; below 0 inside
    labelled = polygon_truth(TRIANGLE, 1, 3, SIZE).known_mask
    inside = (rows >= 2) & (columns >= 3)
    assert labelled[inside & (beyond <= 0)].all()
    assert not labelled[~inside | (beyond > 0.1)].any()


def test_a_polygon_is_cut_off_at_the_border():
    truth = polygon_truth([(-5, -5), (-5, 60), (40, 60), (40, -5)], 1, 3, SIZE)
    assert truth.known_mask.all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 19), st.integers(0, 29), st.data())
def test_a_box_labels_exactly_its_rows_and_columns(top, left, data):
    bottom, right = data.draw(st.integers(top + 1, SIZE[0])), data.draw(st.integers(left + 1, SIZE[1]))
    expected = np.zeros(SIZE, bool)
    expected[top:bottom, left:right] = True
    assert np.array_equal(box_truth(((top, left), (bottom, right)), 0, 3, SIZE).known_mask, expected)


def test_the_largest_box_is_the_image():
    assert box_truth(((0, 0), SIZE), 0, 3, SIZE).known_mask.all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: point_truth([(5, 50)], 0, 3, SIZE), "column 50.* is outside the image of 20 x 30"),
        (lambda: point_truth([(float("nan"), 5)], 0, 3, SIZE), "row nan"),
        (lambda: point_truth([(5, 5)], 3, 3, SIZE), "class 3"),
        (lambda: scribble_truth([], 0, 3, SIZE), "at least one point"),
        (lambda: scribble_truth([(5, 5), (20, 5)], 0, 3, SIZE), "row 20"),
        (lambda: polygon_truth([], 0, 3, SIZE), "0 corners has no area"),
        (lambda: polygon_truth([(1, 1), (5, 5)], 0, 3, SIZE), "2 corners has no area"),
        (lambda: polygon_truth([(1, 1), (5, 5), (9, 9)], 0, 3, SIZE), "not all on one line"),
        (lambda: polygon_truth([(1, 1), (5, 5), (float("nan"), 9)], 0, 3, SIZE), "no area"),
        (lambda: polygon_truth([(30, 1), (35, 5), (40, 1)], 0, 3, SIZE), "outside the image of 20 x 30"),
        (lambda: box_truth(((3, 4), (3, 9)), 0, 3, SIZE), "covers no pixel"),
        (lambda: box_truth(((5, 9), (8, 4)), 0, 3, SIZE), "top left corner, then the bottom right"),
        (lambda: box_truth(((3, 4), (21, 9)), 0, 3, SIZE), "row 21.* reaches outside the image of 20 x 30"),
        (lambda: box_truth(((3, -1), (9, 9)), 0, 3, SIZE), "column -1"),
    ],
)
def test_a_shape_that_does_not_fit_is_an_error_that_names_the_value(make, message):
    with pytest.raises(TruthError, match=message):
        make()


@pytest.mark.parametrize("radius", [float("inf"), float("nan"), -1.0, 1e300])
def test_a_radius_that_no_brush_has_is_refused(radius):
    with pytest.raises(TruthError, match=r"the brush has a radius of .* pixels: give 0 to 100000"):
        scribble_truth([(1, 1), (2, 2)], 0, 2, (8, 8), radius)
    assert scribble_truth([(1, 1), (2, 2)], 0, 2, (8, 8), 1e5).known_mask.all()
