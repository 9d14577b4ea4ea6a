from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from segcode.classes import CAMVID
from segcode.data.labels import write_labels
from segcode.errors import DataError, SegcodeError
from segcode.field.constants import load_constants
from segcode.field.posterior import MAX_DENSE_CELLS
from segcode.prediction import InitialPrediction
from segcode.refinement import refiner
from segcode.segmenters.specification import open_segmenter
from segcode.server.marks import SAMPLES, Brush, Mark, Painting, Polygon, Reset, Start
from segcode.server.session import WORKING_PIXELS, Session
from segcode.tensors import IGNORE

SIZE = (40, 60)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)


@pytest.fixture
def session(tiny_model, image, monkeypatch):
    # The untrained model knows nothing of the image, and then one stroke would settle all of it.
    constants = replace(load_constants(), image_relief=0.0)
    monkeypatch.setattr(refiner, "load_constants", lambda: constants)
    return Session(tiny_model, image)


@pytest.fixture
def mark(session):
    """A stroke of a class that the map has little of."""
    rare = int(np.bincount(session.first.ravel(), minlength=4).argmin())
    return Brush(label=rare, radius=6, points=((15, 10), (45, 12), (30, 30)))


def painted(marks: list[Mark], size: tuple[int, int] = SIZE) -> np.ndarray:
    return Painting.blank(size).with_marks(marks).labels


def test_without_marks_the_map_is_the_initial_prediction(session):
    shown = session.show([])
    assert np.array_equal(shown.labels, session.first)
    assert (shown.painted == IGNORE).all()


def test_the_paint_stands_in_the_map(session, mark):
    shown = session.show([mark])
    known = painted([mark]) != IGNORE
    assert np.array_equal(shown.painted, painted([mark]))
    assert (shown.labels[known] == mark.label).all()


def test_a_stroke_changes_pixels_that_were_not_painted(session, mark):
    elsewhere = painted([mark]) == IGNORE
    assert (session.show([mark]).labels != session.first)[elsewhere].any()


def test_undo_of_everything_is_the_initial_prediction(session, mark):
    other = Polygon(label=3, points=((2, 2), (20, 2), (20, 20)))
    for marks in ([mark], [mark, other], [mark], []):
        shown = session.show(marks)
    assert np.array_equal(shown.labels, session.first)
    assert np.array_equal(session.show([mark, Reset()]).labels, session.first)


def test_the_same_marks_are_shown_without_work(session, mark):
    assert session.show([mark]) is session.show([mark])


def test_what_is_being_drawn_counts_while_it_is_drawn(session, mark):
    drafted = session.show([], [mark])
    assert np.array_equal(drafted.painted, painted([mark]))
    assert not np.array_equal(drafted.labels, session.first)
    assert np.array_equal(session.show([]).labels, session.first)


def test_the_status_is_in_words(session, mark):
    assert session.show([]).status == "initial prediction"
    assert session.show([], [mark]).status == "drawing"
    assert session.show([mark]).status == "refined"


def test_marks_that_are_added_give_what_all_of_them_give(session, tiny_model, image, mark):
    marks = [mark, Polygon(label=None, points=((2, 2), (30, 2), (30, 30))), Brush(label=2, radius=3, points=((50, 5),))]
    for count in range(1, 4):
        last = session.show(marks[:count])
    assert np.array_equal(last.painted, Session(tiny_model, image).show(marks).painted)


def test_a_map_is_a_function_of_its_marks(tiny_model, mark):
    """Strokes that come one by one, also by way of drafts, and all at once after a restart."""
    image = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    sweeps = [Brush(label=one % 4, radius=8, points=((5, 20 * one + 9), (150, 25 * one + 3))) for one in range(5)]
    session, marks = Session(tiny_model, image), [mark, *sweeps]
    for count in range(len(marks) + 1):
        session.show(marks[:count], marks[count : count + 1])
        session.show(marks[:count])
    assert (session.show(marks).painted == IGNORE).mean() > 0.3
    assert (session.show(marks).painted != IGNORE).sum() > 16 * MAX_DENSE_CELLS  # cells have 16 pixels
    assert np.array_equal(session.final(marks), Session(tiny_model, image).final(marks))


def test_a_stroke_of_limited_reach_changes_the_map_near_it_alone(session, mark, tiny_model, image):
    near, other = Brush(label=1, radius=3, reach=6, points=((20, 20),)), Brush(label=2, radius=3, points=((50, 40),))
    everywhere = session.show([mark, other, near.model_copy(update={"reach": None})]).labels
    without, limited = session.show([mark, other]).labels, session.show([mark, other, near]).labels
    y, x = np.indices(limited.shape) + 0.5
    distance = np.hypot(x - 20, y - 20)
    assert (limited != everywhere).any()
    assert np.array_equal(limited[distance > 10], without[distance > 10])
    assert np.array_equal(limited[distance < 8], everywhere[distance < 8])
    assert np.array_equal(session.final([mark, other, near]), limited)
    assert np.array_equal(Session(tiny_model, image).show([mark, other, near]).labels, limited)
    assert np.array_equal(session.show([mark, other]).labels, without)
    far = distance > 10
    assert np.array_equal(
        session.uncertainty([mark, other, near])[far], Session(tiny_model, image).uncertainty([mark, other])[far]
    )


def test_what_a_mark_would_change_is_foreseen(session, mark):
    before = session.show([]).labels
    foreseen = session.changes([], mark).astype(bool)
    changed = session.show([mark]).labels != before
    assert (foreseen & changed).sum() > 0.5 * (foreseen | changed).sum()
    limited = session.changes([], mark.model_copy(update={"reach": 1.0}))
    assert 0 < limited.sum() < foreseen.sum()


def test_a_large_photograph_is_worked_on_smaller_and_comes_out_large(tiny_model):
    size = (1200, 1500)
    session = Session(tiny_model, np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8))
    mark = Brush(label=2, radius=40, points=((400, 300), (1200, 800)))
    shown = session.show([mark])
    assert shown.labels.size == pytest.approx(WORKING_PIXELS, rel=0.01)
    final = session.final([mark])
    known = painted([mark], size) == 2
    assert final.shape == size
    assert (final[known] == 2).all()
    rows, columns = (np.arange(side) * small // side for side, small in zip(size, shown.labels.shape, strict=True))
    assert (final == shown.labels[np.ix_(rows, columns)]).mean() > 0.95


def test_a_small_image_comes_out_as_it_was_shown(session, mark):
    assert np.array_equal(session.final([mark]), session.show([mark]).labels)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_thin_images_are_worked_on(tiny_model, size):
    session = Session(tiny_model, np.zeros((*size, 3), np.uint8))
    marks = [Brush(label=1, radius=0, points=((0.5, 0.5),))]
    assert session.show(marks).labels[0, 0] == 1
    assert session.sample(marks, 0)[0][0, 0] == 1
    assert all(place.height >= 1 and place.width >= 1 for place in session.look(marks))


def test_a_region_is_connected_and_of_one_class(session):
    column, row = 30, 20
    own = session.first[row, column]
    region = session.region([], column + 0.5, row + 0.5, 3, "id-1")
    filled = painted([region]) == 3
    assert region.id == "id-1"
    assert filled[row, column]
    assert (session.first[filled] == own).all()
    assert (session.show([region]).labels[filled] == 3).all()
    grown = np.zeros_like(filled)
    grown[1:] |= filled[:-1]
    grown[:-1] |= filled[1:]
    grown[:, 1:] |= filled[:, :-1]
    grown[:, :-1] |= filled[:, 1:]
    assert (session.first[grown & ~filled] != own).all()


def test_a_region_without_a_class_is_right_as_it_is(session):
    assert session.region([], 30.5, 20.5, None, "a").label == session.first[20, 30]


@pytest.mark.parametrize(("x", "y"), [(60.0, 5.0), (5.0, 40.0), (-0.5, 5.0), (5.0, -0.5), (1e300, 5.0)])
def test_a_region_outside_the_image_is_refused(session, x, y):
    with pytest.raises(DataError, match="is outside the image of 60 x 40"):
        session.region([], x, y, 1, "a")


def test_an_accepted_class_stays_as_it_was_and_is_nowhere_else(session):
    label = int(np.bincount(session.first.ravel()).argmax())
    accepted = session.accept([], label, "a")
    assert accepted.extent == "exhaustive"
    other = Brush(label=(label + 1) % 4, radius=3, points=((2, 2),))
    labels = session.show([accepted, other]).labels
    assert np.array_equal(labels == label, (session.first == label) & (painted([other]) == IGNORE))


def test_painting_beside_accepted_classes_leaves_them_accepted_and_as_they_were(session):
    other = int(np.bincount(session.first.ravel(), minlength=4).argmax())
    marks: list[Mark] = []
    for label in sorted({*np.unique(session.first).tolist()} - {other}):
        marks.append(session.accept(marks, label, f"all-{label}"))
    before = session.show(marks)
    accepted = {mark.label for mark in marks}
    kept = np.isin(before.labels, list(accepted))
    row, column = np.argwhere(binary_erosion(before.labels == other, np.ones((3, 3))))[0]
    beside = Brush(label=other, radius=0.5, points=((column + 0.5, row + 0.5),))
    for after in (session.show(marks, [beside]), session.show([*marks, beside])):
        assert after.exhaustive == before.exhaustive == accepted
        assert np.array_equal(np.isin(after.labels, list(accepted)), kept)
        assert np.array_equal(after.labels[kept], before.labels[kept])
    over = beside.model_copy(update={"label": marks[0].label, "id": "over"})
    assert session.show([*marks, over]).exhaustive == before.exhaustive


def test_samples_differ_repeat_and_hold_the_labels(session, mark):
    drawn, again, others = (session.sample([mark], seed) for seed in (1, 1, 2))
    assert len(drawn) == SAMPLES
    assert np.array_equal(drawn, again)
    assert not np.array_equal(drawn, others)
    known = painted([mark]) != IGNORE
    for picture in drawn:
        assert (picture[known] == mark.label).all()
    assert any((picture != drawn[0]).any() for picture in drawn)


def test_a_sample_that_is_started_from_is_the_map(session):
    samples = session.sample([], 5)
    start = Start(seed=5, index=3)
    assert np.array_equal(session.show([start]).labels, samples[3])
    assert not np.array_equal(samples[3], session.first)
    assert np.array_equal(session.show([]).labels, session.first)


def test_a_start_is_determined_by_the_marks_before_its_seed_and_its_index(session, tiny_model, image, mark):
    """Whatever was shown or drawn meanwhile, and after a server has started again."""
    marks = [mark, Start(seed=5, index=3), Brush(label=1, radius=3, points=((50, 5),)), Start(seed=6, index=0)]
    session.show([Polygon(label=3, points=((2, 2), (20, 2), (20, 20)))], [mark])
    session.sample([mark], 9)
    replayed = Session(tiny_model, image).show(marks).labels
    for count in range(1, 5):
        shown = session.show(marks[:count]).labels
    assert np.array_equal(shown, replayed)
    assert np.array_equal(session.sample(marks[:3], 6)[0], shown)


def test_labels_from_before_a_start_change_its_sample_no_further_and_new_ones_do(session, mark):
    samples = session.sample([mark], 5)
    marks = [mark, Start(seed=5, index=3)]
    assert np.array_equal(session.show(marks).labels, samples[3])
    new = Brush(id="new", label=(mark.label + 1) % 4, radius=6, points=((48, 8),))
    after = session.show([*marks, new]).labels
    labelled = painted([*marks, new])
    assert np.array_equal(after[labelled != IGNORE], labelled[labelled != IGNORE])
    assert (after != samples[3])[labelled == IGNORE].any()


def test_a_mark_that_cannot_be_applied_is_refused_each_time(session, mark):
    """As from a journal of another model: an error must not count as shown."""
    samples = session.sample([], 5)
    start, unknown = Start(seed=5, index=3), mark.model_copy(update={"label": 9})
    for wrong in ([unknown, start], [start, unknown]):
        for _ in range(2):
            with pytest.raises(SegcodeError, match="not one of the model's"):
                session.show(wrong)
        assert np.array_equal(session.show([]).labels, session.first)
    assert np.array_equal(session.show([start]).labels, samples[3])


def test_any_segmenter_is_worked_on(image, mark):
    """A function from an image to logits of another size."""
    session = Session(lambda pixels: np.random.default_rng(1).normal(size=(5, 7, 9)), image)
    shown = session.show([mark])
    assert session.classes == 5
    assert (shown.labels[painted([mark]) != IGNORE] == mark.label).all()
    assert len(session.sample([mark], 0)) == SAMPLES


class ByName:
    """Another class everywhere for each name; it keeps the sizes that it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, tuple[int, ...]]] = []

    def predict(self, image, name=None):
        self.seen.append((name, image.shape[:2]))
        logits = np.zeros((5, 4, 6), np.float32)
        logits[2 if name == "left/a" else 4] = 5
        return InitialPrediction(logits)


def test_the_segmenter_is_told_the_name_of_the_image(image):
    segmenter = ByName()
    assert (Session(segmenter, image, name="left/a").first == 2).all()
    assert segmenter.seen == [("left/a", image.shape[:2])]


def test_label_maps_of_a_large_photograph_fit_its_smaller_copy(tmp_path):
    labels = np.zeros((1100, 1501), np.uint8)
    labels[:, 700:] = 3
    write_labels(tmp_path / "a.png", labels, CAMVID)
    segmenter = open_segmenter(f"labels:{tmp_path}", classes="camvid").segmenter
    session = Session(segmenter, np.zeros((1100, 1501, 3), np.uint8), name="a")
    assert session.working != (1100, 1501)
    assert (session.final([]) == labels).mean() > 0.998


def test_what_failed_is_not_taken_for_shown(session, mark):
    session.show([mark])
    with pytest.raises(SegcodeError):
        session.show([mark], [Brush(label=9, radius=3, points=((5, 5),))])
    assert (session.uncertainty([mark])[painted([mark]) == IGNORE] > 0).any()
    assert max(picture.max() for picture in session.sample([mark], 0)) < 4


def test_what_was_painted_is_no_place_to_look(session):
    left = Polygon(label=1, points=((0, 0), (10, 0), (10, 40), (0, 40)))
    places = session.look([left])
    assert places
    for place in places:
        assert place.column + place.width > 10
        assert 0 <= place.row <= place.row + place.height <= SIZE[0]
        assert place.column + place.width <= SIZE[1]


def test_uncertainty_is_of_bytes_and_none_where_painted(session, mark):
    unsure = session.uncertainty([mark])
    assert unsure.dtype == np.uint8
    assert not unsure[painted([mark]) != IGNORE].any()
    assert unsure[painted([mark]) == IGNORE].any()


def test_an_image_takes_memory(session, tiny_model):
    larger = Session(tiny_model, np.zeros((80, 120, 3), np.uint8))
    assert 0 < session.memory < larger.memory


def test_an_accepted_class_is_exhaustive_until_some_of_it_is_erased(session):
    label = int(session.first[20, 30])
    accepted = session.accept([], label, "all")
    assert session.show([accepted]).exhaustive == {label}
    away = Brush(label=None, radius=100, points=((30, 20),))
    assert session.show([accepted, away]).exhaustive == frozenset()


def test_a_filled_region_ends_at_its_outline(session):
    assert session.region([], 30.5, 20.5, None, "a").extent == "outline"


def test_a_draft_is_shown_on_top_of_the_refined_marks(session, mark):
    """Far from it the map stays as it was, however many pixels are labelled already."""
    accepted = session.accept([mark], int(np.bincount(session.first.ravel()).argmax()), "all")
    refined = session.show([mark, accepted]).labels
    draft = Brush(label=(mark.label + 1) % 4, radius=2, points=((5, 5),))
    drafted = session.show([mark, accepted], [draft]).labels
    labelled = painted([draft]) != IGNORE
    assert (drafted[labelled] == draft.label).all()
    assert (drafted != refined).mean() < 0.5
    assert np.array_equal(session.show([mark, accepted]).labels, refined)


def test_a_draft_does_not_wait_for_the_refinement_of_the_stroke_before(session, mark, tiny_model, image, monkeypatch):
    later, draft = (Brush(label=one, radius=3, points=((20 * one, 10),)) for one in (1, 2))
    session.show([mark])
    with monkeypatch.context() as patch:
        patch.setattr(session._refiner, "refine", lambda truth: pytest.fail("refines"))
        drafted = session.show([mark, later], [draft]).labels
    labelled = painted([later]) != IGNORE
    assert (drafted[labelled] == later.label).all()
    fresh = Session(tiny_model, image).show([mark, later]).labels
    assert np.array_equal(session.show([mark, later]).labels, fresh)
