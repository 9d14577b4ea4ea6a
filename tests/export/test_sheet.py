import numpy as np
import pytest

from segcode.classes import CAMVID, CITYSCAPES
from segcode.export.comparison import before_after, changed, corrections, disagreement, sample_sheet, with_labelled
from segcode.export.sheet import Panel, sheet
from segcode.tensors import IGNORE

SIZE = (12, 20)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
BEFORE = np.zeros(SIZE, np.uint8)


def painted(*rows_and_labels: tuple[int, int]) -> np.ndarray:
    labels = BEFORE.copy()
    for row, label in rows_and_labels:
        labels[row] = label
    return labels


def test_only_what_changed_has_a_colour():
    picture = changed(IMAGE, BEFORE, painted((3, 8)), CAMVID)
    coloured = (picture != picture[..., :1]).any(2)
    assert coloured[3].all()
    assert coloured.sum() == SIZE[1]
    assert tuple(picture[3, 0]) == CAMVID.colours[8]


def test_corrections_are_green_and_new_mistakes_red():
    truth = painted((3, 8), (5, IGNORE))
    picture = corrections(IMAGE, BEFORE, painted((3, 8), (4, 2), (5, 2)), truth)
    assert picture[3, 0, 1] > picture[3, 0, 0]
    assert picture[4, 0, 0] > picture[4, 0, 1]
    grey = (picture == picture[..., :1]).all(2)
    assert not grey[3:5].any()
    assert grey[5].all()


def test_labelled_pixels_have_a_rim_around_them_that_hides_nothing_else():
    labelled = np.zeros(SIZE, bool)
    labelled[5:7, 5:9] = True
    picture = with_labelled(IMAGE, BEFORE, labelled, CAMVID)
    assert (picture[4, 5:9] == 255).all()
    assert (picture[5, 5] != 255).any()
    assert np.array_equal(picture[:3], IMAGE[:3])


def test_samples_that_agree_do_not_differ():
    assert not disagreement([BEFORE, BEFORE], 11).any()
    differing = disagreement([BEFORE, BEFORE, BEFORE, painted((2, 1))], 11)
    assert (differing[2] == 0.25).all()
    assert differing.sum() == 0.25 * SIZE[1]


@pytest.mark.parametrize("size", [(1, 1), (12, 20), (300, 5), (5, 300), (900, 1100)])
def test_a_sheet_of_images_of_any_size_can_be_looked_at(size):
    panels = [Panel("one", np.zeros((*size, 3), np.uint8))] * 5
    picture = sheet(panels, 3, CITYSCAPES, range(19))
    assert 400 < picture.shape[0] < 1000
    assert 700 < picture.shape[1] < 1400


def test_the_legend_explains_the_classes_shown():
    def colours(shown: list[int]) -> set[tuple[int, ...]]:
        picture = sheet([Panel("one", IMAGE // 255)], 2, CITYSCAPES, shown)
        return set(map(tuple, np.unique(picture.reshape(-1, 3), axis=0).tolist()))

    assert {CITYSCAPES.colours[i] for i in range(19)} <= colours(list(range(19)))
    assert CITYSCAPES.colours[1] not in colours([0])


def test_comparisons_are_drawn_with_and_without_the_exact_labels():
    after, labelled = painted((3, 8)), np.zeros(SIZE, bool)
    common = (IMAGE, BEFORE, after, labelled, np.random.default_rng(0).random(SIZE), CAMVID)
    assert before_after(*common).shape == before_after(*common, after).shape
    assert sample_sheet(IMAGE, [BEFORE, after], CAMVID).ndim == 3
