from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segcode.evaluation.annotator import Click, disk_truth, error_sizes, largest_error, middle, next_click
from segcode.tensors import IGNORE

CLASSES = 3


@st.composite
def maps(draw):
    """A prediction and labels of one small size, with void."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=9))
    prediction = draw(arrays(np.uint8, shape, elements=st.integers(0, CLASSES - 1)))
    labels = draw(arrays(np.uint8, shape, elements=st.sampled_from([*range(CLASSES), IGNORE])))
    return prediction, labels


def generator(seed=0):
    return np.random.default_rng(seed)


@given(maps())
def test_a_steady_click_lands_on_a_wrong_and_known_pixel(pair):
    prediction, labels = pair
    click = next_click(prediction, labels, generator())
    if click is None:
        assert (prediction == labels)[labels != IGNORE].all()
    else:
        assert prediction[click.row, click.column] != labels[click.row, click.column] == click.class_index != IGNORE


@given(maps(), st.floats(0, 20), st.integers(0, 99))
def test_an_unsteady_click_has_the_class_of_a_known_pixel(pair, jitter, seed):
    prediction, labels = pair
    click = next_click(prediction, labels, generator(seed), jitter)
    if click is not None:
        assert labels[click.row, click.column] == click.class_index != IGNORE


@given(maps())
def test_no_wrong_region_is_larger_than_that_which_is_clicked(pair):
    """Against a flood fill of every wrong pixel."""
    prediction, labels = pair
    wrong = (prediction != labels) & (labels != IGNORE)
    regions, unseen = [], set(zip(*map(np.ndarray.tolist, wrong.nonzero()), strict=True))
    while unseen:
        edge = [unseen.pop()]
        regions.append(set(edge))
        while edge:
            row, column = edge.pop()
            for pixel in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if pixel in unseen and labels[pixel] == labels[row, column]:
                    unseen.remove(pixel)
                    regions[-1].add(pixel)
                    edge.append(pixel)
    assert error_sizes(prediction, labels).tolist() == sorted(map(len, regions), reverse=True)
    found = largest_error(prediction, labels)
    if found is None:
        assert not regions
    else:
        pixels = set(zip(*map(np.ndarray.tolist, found.nonzero()), strict=True))
        assert pixels in regions
        assert len(pixels) == max(map(len, regions))


def test_wrong_pixels_of_two_classes_are_two_regions():
    labels = np.array([[0, 0, 1, 1, 1]], np.uint8)
    assert largest_error(np.full_like(labels, 2), labels).tolist() == [[False, False, True, True, True]]


def test_a_region_that_is_right_in_part_is_clicked_where_it_is_wrong():
    labels = np.zeros((5, 9), np.uint8)
    prediction = labels.copy()
    prediction[:, 4:] = 1
    assert next_click(prediction, labels, generator()) == Click(2, 6, 0)


def test_the_middle_is_farthest_from_the_edges_of_region_and_image():
    region = np.zeros((12, 12), bool)
    region[0:7, 5:12] = True  # reaches into the corner of the image
    region[9, 0:5] = region[7:10, 5] = True  # a thin tail
    assert middle(region) == (3, 8)


def test_a_thin_region_is_clicked_in_itself():
    ring = np.zeros((9, 9), bool)
    ring[1:8, 1:8] = True
    ring[2:7, 2:7] = False
    assert ring[middle(ring)]


def test_jitter_spreads_the_clicks_around_their_aim():
    labels = np.zeros((61, 61), np.uint8)
    clicks = [next_click(np.ones_like(labels), labels, generator(seed), 3.0) for seed in range(300)]
    places = np.array([(click.row, click.column) for click in clicks])
    assert places.mean(0) == pytest.approx([30, 30], abs=0.7)
    assert places.std(0) == pytest.approx([3, 3], abs=0.5)


def test_a_click_that_hits_void_is_moved_to_the_nearest_known_pixel():
    labels = np.full((30, 30), IGNORE, np.uint8)
    labels[10, 10], labels[25, 25] = 0, 1
    click = next_click(np.full_like(labels, 2), labels, generator(1), 2.0)
    assert click == Click(10, 10, 0)


def test_a_disk_has_the_clicked_class_alone():
    labels = np.zeros((9, 9), np.uint8)
    labels[:, 5:] = 1
    labels[4, 2] = IGNORE
    truth = disk_truth(Click(4, 4, 0), labels, 2.0, CLASSES)
    rows, columns = truth.known_mask.nonzero()
    assert ((rows - 4) ** 2 + (columns - 4) ** 2 <= 4).all()
    assert (labels[truth.known_mask] == 0).all()
    assert len(rows) == 8  # 13 pixels of a disk without 4 of the other class and 1 void
    assert set(truth.labels[truth.known_mask]) == {0}


def test_a_disk_of_radius_0_is_the_clicked_pixel():
    assert disk_truth(Click(1, 2, 0), np.zeros((3, 4), np.uint8), 0.0, CLASSES).pixels.tolist() == [[1, 2]]
