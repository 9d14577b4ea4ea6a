from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcode.errors import TruthError
from segcode.tensors import IGNORE
from segcode.truth.mask import label_truth, mask_truth
from segcode.truth.scribble import point_truth, scribble_truth
from segcode.truth.truth import Truth, paste


def square(top: int, left: int, side: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_a_mask_reveals_its_pixels_and_no_others():
    mask = square(3, 4, 5)
    truth = mask_truth(mask, 1, classes=3)
    assert np.array_equal(truth.revealed().numpy(), mask)
    assert (truth.allowed == torch.tensor([False, True, False])).all()


def test_a_complete_mask_excludes_the_class_elsewhere():
    truth = mask_truth(square(3, 4, 5), 1, classes=3, complete=True)
    outside = truth.allowed[:, 0]
    assert len(truth) == 20 * 30
    assert (truth.allowed[outside] == torch.tensor([True, False, True])).all()
    assert int((~outside).sum()) == 25


def test_a_soft_mask_weighs_by_its_probability():
    truth = mask_truth(np.array([[0.0, 0.3, 0.8]], np.float32), 0, classes=3, complete=True)
    positive, negative = truth.allowed[:, 0], ~truth.allowed[:, 0]
    assert truth.weight[positive].tolist() == pytest.approx([0.3, 0.8])
    assert truth.weight[negative].tolist() == pytest.approx([1.0, 0.7, 0.2])
    assert truth.revealed().tolist() == [[False, False, True]]


def test_label_images_reveal_several_classes():
    labels = np.array([[0, IGNORE, 2]], np.uint8)
    truth = label_truth(labels, classes=3)
    assert truth.pixels.tolist() == [[0, 0], [0, 2]]
    assert truth.allowed.long().argmax(1).tolist() == [0, 2]


def test_truths_combine_and_the_later_one_holds():
    both = mask_truth(square(0, 0, 6), 0, 3) + mask_truth(square(3, 3, 6), 2, 3)
    label = paste(torch.zeros(3, 20, 30), both)
    assert int(both.revealed().sum()) == 36 + 36 - 9
    assert label[4, 4] == 2
    assert label[1, 1] == 0
    assert len(both) == 36 + 36 - 9


def test_painting_the_same_again_changes_nothing():
    truth = mask_truth(square(0, 0, 6), 0, 3)
    assert len(truth + truth) == len(truth)


def test_compatible_knowledge_of_a_pixel_is_kept():
    mask = square(0, 0, 4)
    neither = mask_truth(~mask, 0, 3, complete=True) + mask_truth(~mask, 1, 3, complete=True)
    labels = paste(torch.tensor([2.0, 1.0, 0.0]).view(3, 1, 1).expand(3, 20, 30), neither)
    assert (labels[:4, :4] == 2).all()


def test_empty_truth_is_neutral():
    truth, nothing = mask_truth(square(2, 2, 3), 1, 3), Truth.empty((20, 30), 3)
    assert len(truth + nothing) == len(nothing + truth) == len(truth)
    assert not nothing.revealed().any()


def test_pasting_nothing_is_the_prediction():
    logits = torch.randn(3, 20, 30)
    assert torch.equal(paste(logits, Truth.empty((20, 30), 3)), logits.argmax(0))


def test_pasting_obeys_exclusion():
    mask = square(3, 4, 5)
    labels = paste(torch.tensor([0.0, 5.0, 1.0]).view(3, 1, 1).expand(3, 20, 30), mask_truth(mask, 1, 3, complete=True))
    assert np.array_equal(labels.numpy() == 1, mask)
    assert set(labels[~torch.from_numpy(mask)].tolist()) == {2}


def test_where_every_class_is_excluded_the_prediction_stays():
    truth = mask_truth(square(3, 4, 5), 0, 2, complete=True).beside(mask_truth(square(9, 4, 5), 1, 2, complete=True))
    logits = torch.randn(2, 20, 30)
    hole = ~torch.from_numpy(square(3, 4, 5) | square(9, 4, 5))
    assert torch.equal(paste(logits, truth)[hole], logits.argmax(0)[hole])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60))
def test_on_a_coarser_grid_a_cell_weighs_its_area_and_at_least_one_known_pixel(rows, columns):
    truth = mask_truth(square(3, 4, 9), 1, classes=3)
    resized = truth.resized((min(rows, 20), min(columns, 30)))
    rows, columns = resized.size
    area = 81 * rows * columns / 600
    assert area - 1e-3 <= float(resized.weight.sum()) <= area + len(resized)
    assert (resized.weight >= 1 - 1e-6).all()
    assert len(resized.pixels.unique(dim=0)) == len(resized)


@pytest.mark.parametrize("size", [(20, 31), (45, 60), (60, 15)])
def test_on_a_finer_grid_entries_cover_what_they_did_and_are_no_surer(size):
    mask = square(3, 4, 9)
    resized = mask_truth(mask * np.float32(0.3), 1, classes=3, complete=True).resized(size)
    nearest = [((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, mask.shape, strict=True)]
    known = resized.allowed.sum(1) == 1
    told = np.zeros(size, bool)
    told[tuple(resized.pixels[known].T)] = True
    assert told[mask[np.ix_(*nearest)]].all()
    assert 0.3 - 1e-6 <= float(resized.weight[known].max()) < 0.5
    assert mask_truth(mask, 1, 3, complete=True).resized(size).complete()[1]


@pytest.mark.parametrize("size", [(20, 30), (200, 300), (1000, 1500)])
def test_a_click_weighs_the_same_at_every_resolution(size):
    assert point_truth([(size[0] // 2, 5)], 1, 3, size).resized((20, 30)).weight.tolist() == [1.0]


def test_entries_of_different_classes_stay_apart_when_resized():
    mask = square(0, 0, 4)
    both = mask_truth(mask, 0, 3) + mask_truth(square(4, 0, 4), 2, 3, complete=True)
    resized = both.resized((4, 6))
    label = torch.cat([resized.pixels, resized.allowed.long()], 1)
    assert len(label.unique(dim=0)) == len(resized)
    assert {tuple(row) for row in resized.allowed.tolist()} == {tuple(row) for row in both.allowed.tolist()}


@pytest.mark.parametrize(("probability", "pasted"), [(0.7, 1), (0.3, 2)])
def test_a_soft_complete_mask_is_pasted_where_it_is_sure(probability, pasted):
    truth = mask_truth(np.full((2, 2), probability, np.float32), 1, 3, complete=True)
    logits = torch.tensor([0.0, 2.0, 1.0]).view(3, 1, 1).expand(3, 2, 2)
    assert (paste(logits, truth) == pasted).all()


def test_soft_masks_of_two_classes_combine():
    road, car = (mask_truth(np.full((1, 1), p, np.float32), k, 3) for p, k in ((0.95, 0), (0.05, 2)))
    both = road + car
    assert sorted(both.weight.tolist()) == pytest.approx([0.05, 0.95])
    assert paste(torch.zeros(3, 1, 1), both).tolist() == [[0]]


def test_a_stroke_marks_its_line_and_is_cut_at_the_border():
    truth = scribble_truth([(10, 0), (10, 29)], 2, classes=3, size=(20, 30), radius=1.5)
    revealed = truth.revealed()
    assert revealed[10].all()
    assert not revealed[:7].any()
    assert not revealed[14:].any()


def test_points_mark_single_pixels():
    truth = point_truth([(0, 0), (19, 29)], 1, 3, (20, 30))
    assert truth.pixels.tolist() == [[0, 0], [19, 29]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mask_truth(np.full((2, 2), 7.0), 0, 3), "holds 7"),
        (lambda: mask_truth(np.array([[0.0, -1.0]]), 0, 3), "holds -1"),
        (lambda: mask_truth(np.zeros((2, 2), bool), 3, 3), "class 3 is not one of the model's 3"),
        (lambda: label_truth(np.array([[9]], np.uint8), 3), "class 9"),
        (lambda: point_truth([(5, 50)], 0, 3, (20, 30)), "outside the image of 20 x 30"),
        (lambda: scribble_truth([], 0, 3, (20, 30)), "at least one point"),
        (lambda: Truth((2, 2), torch.tensor([[2, 0]]), torch.ones(1, 3, dtype=torch.bool), torch.ones(1)), "row 2"),
        (lambda: Truth((2, 2), torch.tensor([[1, 0]]), torch.zeros(1, 3, dtype=torch.bool), torch.ones(1)), "no class"),
        (lambda: Truth.empty((2, 2), 3) + Truth.empty((2, 3), 3), "does not combine"),
        (lambda: paste(torch.zeros(3, 4, 4), Truth.empty((2, 2), 3)), "does not fit a map"),
        (lambda: Truth((2, 2), torch.zeros(1, 2).long(), torch.ones(1, 3).bool(), -torch.ones(1)), "weighs -1"),
    ],
)
def test_bad_truth_names_what_is_wrong(make, message):
    with pytest.raises(TruthError, match=message):
        make()


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_planes_are_what_is_known_of_each_pixel(seed):
    draw = np.random.default_rng(seed)
    labels = np.where(draw.random((6, 8)) < 0.5, draw.integers(0, 3, (6, 8)), IGNORE).astype(np.uint8)
    empty = draw.random((6, 8)) < 0.3
    excluded = mask_truth(empty & False, 1, 3, complete=True)
    where = torch.from_numpy(empty)[excluded.pixels[:, 0], excluded.pixels[:, 1]]
    not_one = Truth((6, 8), excluded.pixels[where], excluded.allowed[where], excluded.weight[where])
    truth = not_one + label_truth(labels, 3)
    planes = truth.planes().numpy()
    for index in range(3):
        assert np.array_equal(planes[index], labels == index)
    unknown = labels == IGNORE
    assert np.array_equal(planes[4].astype(bool), empty & unknown)
    assert not planes[[3, 5]].any()
    known, not_of = truth.at(torch.cartesian_prod(torch.arange(6), torch.arange(8)))
    assert np.array_equal(torch.cat([known, not_of], dim=1).T.unflatten(1, (6, 8)), planes.astype(bool))


def test_planes_know_a_class_that_is_left_over():
    """Neither 0 nor 1 of three classes is 2."""
    not_0 = mask_truth(np.zeros((2, 2), bool), 0, 3, complete=True)
    not_1 = mask_truth(np.zeros((2, 2), bool), 1, 3, complete=True)
    assert (not_0 + not_1).planes()[2].all()


def test_sets_part_the_entries_by_what_they_say():
    truth = mask_truth(square(0, 0, 4), 1, 3) + mask_truth(square(8, 8, 2), 2, 3, complete=True)
    sizes = sorted((len(entries), truth.allowed[entries].float().std(0).sum().item()) for entries in truth.sets())
    assert [size for size, _ in sizes] == [4, 16, 20 * 30 - 4]
    assert all(spread == 0 for _, spread in sizes)
    assert Truth.empty((4, 4), 3).sets() == []


def test_a_completed_mask_is_a_complete_one():
    mask = square(0, 0, 4)
    whole = torch.tensor([False, True, True])
    completed = mask_truth(mask, 1, 3).completed(whole)
    assert completed.complete().tolist() == [False, True, False]
    assert torch.equal(completed.planes(), mask_truth(mask, 1, 3, complete=True).planes())
    assert len(completed.completed(whole)) == len(completed)


def test_other_classes_that_are_told_stay_when_one_is_completed():
    truth = mask_truth(square(0, 0, 4), 1, 3) + mask_truth(square(8, 8, 2), 2, 3)
    known, not_of = truth.completed(torch.tensor([False, True, False])).planes().bool().chunk(2)
    assert torch.equal(known, truth.planes()[:3].bool())
    assert torch.equal(not_of[1], ~known.any(0))
    assert not not_of[[0, 2]].any()


def test_what_is_told_in_part_is_not_complete():
    assert not mask_truth(square(0, 0, 4), 1, 3).complete().any()
    assert not Truth.empty((4, 4), 3).complete().any()
    labels = np.array([[0, 1], [1, 2]], np.uint8)
    assert label_truth(labels, 4).complete().all()  # there is nothing of class 3, and all pixels say so


@pytest.mark.parametrize("size", [(20, 30), (10, 15), (7, 11)])
def test_a_complete_mask_stays_complete_on_a_coarser_grid(size):
    assert mask_truth(square(3, 4, 5), 1, 3, complete=True).resized(size).complete().tolist() == [False, True, False]
    assert not mask_truth(square(3, 4, 5), 1, 3).resized(size).complete().any()


def test_a_share_is_that_of_a_cells_pixels():
    mask = np.zeros((4, 6), bool)
    mask[:2, :2] = mask[0, 2] = True
    truth = mask_truth(mask, 1, 3) + mask_truth(np.roll(mask, 3, 1), 0, 3)
    assert truth.share(1, (2, 3)).tolist() == [[1, 0.25, 0], [0, 0, 0]]
    assert torch.equal(truth.share(1, (4, 6)).bool(), torch.from_numpy(mask))
    assert not truth.share(2, (2, 3)).any()
    unsure = Truth(truth.size, truth.pixels, truth.allowed, 0.5 * truth.weight)
    assert not unsure.share(1, (2, 3)).any()
