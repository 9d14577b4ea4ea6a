from __future__ import annotations

import numpy as np
import pytest

from segcode.refinement.places import WINDOW, Place, places_to_look
from segcode.refinement.refiner import Predictive

SIZE = (50, 100)
NOTHING = np.zeros(SIZE, bool)


def predictive(doubt: np.ndarray) -> Predictive:
    """Two classes; the second has the probability that is given."""
    doubt = doubt.astype(np.float32)
    return Predictive(np.stack([1 - doubt, doubt]), np.zeros(SIZE, np.float32))


def covered(place: Place) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[place.row : place.row + place.height, place.column : place.column + place.width] = True
    return mask


@pytest.fixture
def noise():
    return np.random.default_rng(0).uniform(0, 0.5, SIZE)


def test_places_lie_inside_and_do_not_overlap(noise):
    places = places_to_look(predictive(noise), NOTHING, count=30)
    cover = np.sum([covered(place) for place in places], axis=0)
    assert len(places) > 8
    assert cover.max() == 1
    assert cover.sum() == len(places) * round(WINDOW * SIZE[0]) * round(WINDOW * SIZE[1])


def test_the_most_promising_come_first_and_no_more_than_asked_for(noise):
    promises = [place.promise for place in places_to_look(predictive(noise), NOTHING, count=5)]
    assert len(promises) == 5
    assert promises == sorted(promises, reverse=True)
    assert promises[-1] > 0


def test_doubt_is_found_and_its_promise_is_its_entropy():
    doubt = np.zeros(SIZE)
    doubt[20:30, 60:80] = 0.5
    first = places_to_look(predictive(doubt), NOTHING)[0]
    assert covered(first)[20:30, 60:80].sum() == first.height * first.width
    assert first.promise == pytest.approx(np.log(2), rel=1e-4)


def test_what_is_told_promises_nothing(noise):
    told = NOTHING.copy()
    told[:, :70] = True
    for place in places_to_look(predictive(noise), told, count=30):
        assert (covered(place) & ~told).any()
    assert places_to_look(predictive(noise), ~NOTHING) == []


def test_a_map_without_doubt_has_no_places():
    assert places_to_look(predictive(np.zeros(SIZE)), NOTHING) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_thin_images_have_places(size):
    half = np.full((2, *size), 0.5, np.float32)
    places = places_to_look(Predictive(half, np.zeros(size, np.float32)), np.zeros(size, bool))
    assert 1 <= len(places) <= 8
    assert all(p.row + p.height <= size[0] and p.column + p.width <= size[1] for p in places)
