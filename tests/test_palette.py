from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from segcode.classes import CAMVID, CITYSCAPES, Colour
from segcode.palette import appearance, distinct_colours


def least(colours: tuple[Colour, ...]) -> float:
    """The least distance of two in CIELAB (1976), in the eyes that see the least difference; 2.3 is just noticeable."""
    seen = appearance(np.array(colours))
    return min(np.linalg.norm(seen[:, i] - seen[:, j], axis=1).min() for i, j in combinations(range(len(colours)), 2))


@pytest.mark.parametrize(("count", "apart"), [(11, 24), (19, 17), (34, 11)])
def test_all_colours_stay_apart_in_all_eyes(count, apart):
    """Measured: 24.3, 18.0 and 12.0; five times what is just noticeable."""
    colours = distinct_colours(count)
    assert len(set(colours)) == count
    assert least(colours) > apart


@pytest.mark.parametrize(("classes", "measured"), [(CAMVID, 6.06), (CITYSCAPES, 3.35)], ids=["camvid", "cityscapes"])
def test_they_stay_further_apart_than_the_data_sets_own(classes, measured):
    own = least(classes.colours)
    assert own == pytest.approx(measured, abs=0.01)
    assert least(distinct_colours(len(classes))) > 3 * own


def test_many_classes_have_colours_of_their_own():
    assert len(set(distinct_colours(80))) == 80


def test_more_colours_leave_the_first_as_they_are():
    assert distinct_colours(19)[:11] == distinct_colours(11)


def test_black_and_white_are_100_apart():
    assert least(((0, 0, 0), (255, 255, 255))) == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 128, 0), (46.23, -51.70, 49.90)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((255, 255, 255), (100, 0, 0)),
    ],
)
def test_normal_eyes_see_cielab(rgb, lab):
    """Values of colour.science and Lindbloom's calculator for sRGB, D65."""
    assert appearance(np.array([rgb]))[0, 0] == pytest.approx(lab, abs=0.1)


def test_red_blind_eyes_see_little_between_red_and_green_and_none_see_grey_otherwise():
    red, green = np.array([[170, 60, 60], [110, 90, 60]])
    normal, protan, _, _ = np.linalg.norm(np.diff(appearance(np.array([red, green])), axis=1)[:, 0], axis=1)
    assert protan < 0.5 * normal
    greys = appearance(np.array([[128, 128, 128]]))[:, 0]
    assert greys == pytest.approx(np.broadcast_to(greys[0], (4, 3)), abs=0.5)
