from __future__ import annotations

import numpy as np
import pytest

from segcode.field.grid import Grid
from segcode.refinement.places import WINDOW, Place, places_to_look

SIZE = (50, 100)
GRID = Grid(12, 25)
LOGITS = np.random.default_rng(1).normal(size=(len(GRID), 4))


def covered(place: Place) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[place.row : place.row + place.height, place.column : place.column + place.width] = True
    return mask


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 0.5, len(GRID))


def test_places_lie_inside_and_do_not_overlap(noise):
    places = places_to_look(noise, LOGITS, GRID, SIZE, count=30)
    cover = np.sum([covered(place) for place in places], axis=0)
    assert len(places) > 8
    assert cover.max() == 1
    assert cover.sum() == len(places) * round(WINDOW * SIZE[0]) * round(WINDOW * SIZE[1])


def test_the_most_promising_come_first_and_no_more_than_asked_for(noise):
    changes = [place.expected_change for place in places_to_look(noise, LOGITS, GRID, SIZE, count=5)]
    assert len(changes) == 5
    assert changes == sorted(changes, reverse=True)
    assert changes[0] == noise.max()


def test_the_cell_lies_in_the_middle_of_its_place():
    changes = np.zeros(GRID.shape)
    changes[6, 10] = 0.25
    (place,) = places_to_look(changes.ravel(), LOGITS, GRID, SIZE)
    assert place.row + place.height / 2 == pytest.approx(6.5 * 50 / 12, abs=1)
    assert place.column + place.width / 2 == pytest.approx(10.5 * 4, abs=1)
    assert place.expected_change == 0.25
    assert list(place.classes) == np.argsort(-LOGITS[6 * 25 + 10])[:2].tolist()


def test_where_no_label_would_change_anything_are_no_places():
    assert places_to_look(np.zeros(len(GRID)), LOGITS, GRID, SIZE) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 5)])
def test_thin_images_have_places(size):
    grid = Grid.over(size)
    places = places_to_look(np.full(len(grid), 0.5), np.zeros((len(grid), 2)), grid, size)
    assert 1 <= len(places) <= 8
    assert all(p.row >= 0 and p.row + p.height <= size[0] for p in places)
    assert all(p.column >= 0 and p.column + p.width <= size[1] for p in places)
