from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcode.errors import TruthError
from segcode.tensors import IGNORE
from segcode.truth.mask import label_truth, mask_truth
from segcode.truth.truth import Truth

SIZE = (6, 8)
CLASSES = 4
PIXELS = np.arange(SIZE[0] * SIZE[1])
NONE_EXHAUSTIVE = np.zeros(CLASSES, bool)


def square(top: int, left: int, side: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def random_truth(seed: int, entries: int, distinct: bool = False) -> Truth:
    """Entries at random pixels, at most one a pixel if `distinct`; each allows one class to all but one."""
    draw = np.random.default_rng(seed)
    flat = draw.choice(len(PIXELS), entries, replace=not distinct)
    allowed = draw.random((entries, CLASSES)) < 0.5
    allowed[np.arange(entries), draw.integers(0, CLASSES, entries)] = True
    excluded = draw.integers(0, CLASSES, entries)
    rows = allowed.sum(1) > 1
    allowed[rows, excluded[rows]] = False
    return Truth(SIZE, np.stack(np.divmod(flat, SIZE[1]), 1), allowed, np.ones(entries), NONE_EXHAUSTIVE)


def sets(truth: Truth) -> list[set[int]]:
    """The classes that all entries of each pixel allow, one pixel and one entry after the other."""
    left = [set(range(CLASSES)) for _ in PIXELS]
    for (row, column), allowed in zip(truth.pixels.tolist(), truth.allowed.tolist(), strict=True):
        left[row * SIZE[1] + column] &= {index for index, allows in enumerate(allowed) if allows}
    return left


seeds = st.integers(0, 10_000)
counts = st.integers(0, 40)


@settings(max_examples=40, deadline=None)
@given(seeds, counts)
def test_what_a_pixel_may_be_is_what_all_its_entries_allow(seed, entries):
    truth = random_truth(seed, entries)
    expected = [[index in left for index in range(CLASSES)] for left in sets(truth)]
    assert truth.allowed_at(PIXELS).tolist() == expected
    single = [next(iter(left)) if len(left) == 1 else -1 for left in sets(truth)]
    assert truth.labels.ravel().tolist() == single
    assert np.array_equal(truth.known_mask, truth.labels >= 0)


@settings(max_examples=40, deadline=None)
@given(seeds, counts, seeds, counts)
def test_truths_combine_to_what_both_allow_and_the_later_holds_where_they_contradict(seed, entries, other, others):
    earlier, later = random_truth(seed, entries, distinct=True), random_truth(other, others, distinct=True)
    expected = [a & b or b for a, b in zip(sets(earlier), sets(later), strict=True)]
    assert sets(earlier + later) == expected


@settings(max_examples=20, deadline=None)
@given(seeds, counts)
def test_combining_with_nothing_or_with_itself_adds_no_knowledge(seed, entries):
    truth, nothing = random_truth(seed, entries, distinct=True), Truth.empty(SIZE, CLASSES)
    assert sets(truth + nothing) == sets(nothing + truth) == sets(truth + truth) == sets(truth)
    assert len(truth + truth) == len(truth)


def test_empty_truth_knows_nothing():
    nothing = Truth.empty(SIZE, CLASSES)
    assert len(nothing) == 0
    assert nothing.classes == CLASSES
    assert not nothing.known_mask.any()
    assert not nothing.excluded().any()
    assert nothing.allowed_at(PIXELS).all()


def test_entries_that_are_more_likely_wrong_than_right_label_nothing():
    truth = mask_truth(np.array([[0.5, 0.6]]), 1, CLASSES)
    assert truth.labels.tolist() == [[-1, 1]]
    assert len(truth.certain()) == 1


def test_uncertain_entries_remove_no_earlier_ones():
    road, car = (mask_truth(np.full((1, 1), p), k, 3) for p, k in ((0.95, 0), (0.05, 2)))
    assert sorted((road + car).weight.tolist()) == pytest.approx([0.05, 0.95])
    assert (road + car).labels.tolist() == [[0]]


def test_excluding_all_classes_but_one_labels_the_pixel():
    corner = square(0, 0, 2)
    neither = [replace(truth, allowed=~truth.allowed) for truth in (mask_truth(corner, k, 3) for k in (0, 1))]
    assert np.array_equal((neither[0] + neither[1]).labels == 2, corner)


def test_an_exhaustive_class_is_excluded_at_all_pixels_that_are_not_labelled_as_it():
    mask = square(3, 4, 5)
    excluded = mask_truth(mask, 1, 3, "exhaustive").excluded()
    assert np.array_equal(excluded[1], ~mask)
    assert not excluded[[0, 2]].any()


def test_a_class_stays_exhaustive_in_a_sum_and_later_labels_of_it_count():
    first, second = square(3, 4, 5), square(12, 20, 4)
    truth = mask_truth(first, 1, 3, "exhaustive") + mask_truth(second, 1, 3)
    assert np.array_equal(truth.excluded()[1], ~(first | second))
    both = truth + mask_truth(square(3, 4, 2), 0, 3)  # later: not of that class after all
    assert np.array_equal(both.excluded()[1], ~(first | second) | square(3, 4, 2))


def test_regions_of_a_sum_stay_apart_and_the_later_lies_over_the_earlier():
    first, second = square(0, 0, 6), square(3, 3, 6)
    regions = (mask_truth(first, 1, 3, "outline") + mask_truth(second, 1, 3, "outline")).regions
    assert np.array_equal(regions == regions[0, 0], first & ~second)
    assert np.array_equal(regions == regions[8, 8], second)
    assert np.array_equal(regions == 0, ~(first | second))


@pytest.mark.parametrize("outlined_first", [True, False])
def test_labels_without_an_outline_change_no_regions(outlined_first):
    outlined, part = mask_truth(square(0, 0, 6), 1, 3, "outline"), mask_truth(square(3, 3, 6), 2, 3)
    both = outlined + part if outlined_first else part + outlined
    assert np.array_equal(both.regions, outlined.regions)
    assert (part + part).regions is None


@settings(max_examples=40, deadline=None)
@given(seeds, counts)
def test_a_pasted_pixel_has_the_best_class_that_is_allowed_and_others_stay(seed, entries):
    draw = np.random.default_rng(seed)
    truth, labels = random_truth(seed, entries), draw.integers(0, CLASSES, SIZE)
    scores = draw.normal(size=(*SIZE, CLASSES))
    pasted = truth.paste(labels, scores[tuple(truth.pixels.T)])
    for before, after, left, score in zip(
        labels.ravel(), pasted.ravel(), sets(truth), scores.reshape(-1, CLASSES), strict=True
    ):
        unknown = len(left) in (0, CLASSES)
        assert after == (before if unknown else max(left, key=lambda index: score[index]))


def test_a_pasted_label_image_stands_as_it_was_given():
    draw = np.random.default_rng(0)
    known = np.where(draw.random(SIZE) < 0.5, draw.integers(0, CLASSES, SIZE), IGNORE).astype(np.uint8)
    truth = label_truth(known, CLASSES)
    pasted = truth.paste(np.zeros(SIZE, int), draw.normal(size=(len(truth), CLASSES)))
    assert np.array_equal(pasted, np.where(known == IGNORE, 0, known))


def build(pixels=((0, 0),), allowed=((True, False, False),), weight=(1.0,), regions=None) -> Truth:
    arrays = np.array(pixels), np.array(allowed), np.array(weight, float), np.zeros(3, bool)
    return Truth((2, 2), *arrays, regions)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(pixels=((2, 0),)), "row 2, column 0.* is outside the image of 2 x 2"),
        (lambda: build(pixels=((0, -1),)), "column -1"),
        (lambda: build(allowed=((False, False, False),)), "no class"),
        (lambda: build(weight=(-1.0,)), "weighs -1"),
        (lambda: build(weight=(np.nan,)), "weighs nan"),
        (lambda: build(regions=np.zeros((3, 2), int)), "draw them on the image"),
        (lambda: Truth.empty((2, 2), 3) + Truth.empty((2, 3), 3), "does not combine"),
        (lambda: Truth.empty((2, 2), 3) + Truth.empty((2, 2), 4), "does not combine"),
    ],
)
def test_bad_truth_is_an_error_that_names_the_value(make, message):
    with pytest.raises(TruthError, match=message):
        make()
