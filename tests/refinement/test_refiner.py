from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dense_guide import upsampled
from scipy.special import softmax
from torch.nn import functional

from segcode.classes import ClassSet
from segcode.errors import DataError, TruthError
from segcode.field import posterior as posterior_module
from segcode.field.constants import FieldConstants
from segcode.field.grid import Grid
from segcode.field.posterior import MAX_DENSE_CELLS
from segcode.model.checkpoint import LoadedModel
from segcode.prediction import InitialPrediction
from segcode.refinement import refiner as refiner_module
from segcode.refinement.code_path import build_objective, optimise_code
from segcode.refinement.config import CodeConfig, Stopping
from segcode.refinement.gauss_newton import gauss_newton
from segcode.refinement.observations import settled_cells
from segcode.refinement.refiner import Refiner, check_image
from segcode.refinement.result import Status
from segcode.tensors import IGNORE
from segcode.truth.mask import label_truth, mask_truth
from segcode.truth.scribble import point_truth
from segcode.truth.truth import Truth
from tiny import TINY

SIZE = (48, 72)
CONSTANTS = FieldConstants((2.0, 2.0, 0.6, 0.6), 1e-3, 1e-2, 0.0, 0.0, 2.0, 5.0)
LEFT = np.arange(SIZE[1])[None] + np.zeros((SIZE[0], 1)) < 36


def make_image(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Two colours side by side, with noise."""
    noise = np.random.default_rng(0).integers(0, 12, (*size, 3))
    noise[:, size[1] // 2 :] += 180
    return noise.astype(np.uint8)


def make_logits(rows: int = 12, columns: int = 18, scale: float = 1.0) -> np.ndarray:
    """Class 0 nearly everywhere, with some structure."""
    logits = np.random.default_rng(1).standard_normal((3, rows, columns)).astype(np.float32)
    logits[0] += 2
    return scale * logits


def block(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    return mask


CLICK = block(slice(20, 24), slice(16, 20))


@pytest.fixture
def refiner() -> Refiner:
    return fresh()


def fresh() -> Refiner:
    refiner = Refiner(lambda image: make_logits(), CONSTANTS)
    refiner.set_image(make_image())
    return refiner


def resized(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return functional.interpolate(torch.from_numpy(logits)[None].float(), size, mode="bilinear")[0].numpy()


class Predicts:
    def predict(self, image):
        return InitialPrediction(make_logits())


SEGMENTERS = {
    "NumPy": lambda image: make_logits(),
    "float64": lambda image: make_logits().astype(np.float64),
    "tensor": lambda image: torch.from_numpy(make_logits()),
    "with a gradient": lambda image: torch.from_numpy(make_logits()).requires_grad_(),
    "batch of one": lambda image: make_logits()[None],
    "prediction": lambda image: InitialPrediction(make_logits()),
    "object": Predicts(),
}


@pytest.mark.parametrize("name", SEGMENTERS)
def test_whatever_predicts_is_a_segmenter(name, refiner):
    other = Refiner(SEGMENTERS[name], CONSTANTS)
    first = other.set_image(make_image())
    assert np.array_equal(first.labels, upsampled(make_logits(), make_image()).argmax(0))
    truth = mask_truth(CLICK, 1, 3)
    assert np.array_equal(other.refine(truth).labels, refiner.refine(truth).labels)


@pytest.mark.parametrize("grid", [(1, 1), (3, 50), (48, 72), (100, 150), (7, 9)])
@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_logits_of_any_grid_and_scale_are_refined(grid, scale):
    refiner = Refiner(lambda image: make_logits(*grid, scale), CONSTANTS)
    refiner.set_image(make_image())
    refined = refiner.refine(mask_truth(CLICK, 1, 3))
    assert refined.labels.shape == SIZE
    assert refined.labels.dtype == np.uint8
    assert (refined.labels[CLICK] == 1).all()
    assert refined.logits.shape == (3, max(grid[0], 12), max(grid[1], 18))
    assert np.isfinite(refined.logits).all()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.full((3, 4, 5), np.nan, np.float32), "NaN or infinite"),
        (np.full((3, 4, 5), np.inf, np.float32), "NaN or infinite"),
        (np.zeros((4, 5), np.float32), "output is 4 x 5: give classes"),
        (np.zeros((1, 4, 5), np.float32), "2 classes or more"),
        (np.zeros((3, 0, 5), np.float32), "output is 3 x 0 x 5"),
        (np.zeros((2, 3, 4, 5), np.float32), "output is 2 x 3 x 4 x 5"),
    ],
)
def test_an_output_that_is_no_map_of_logits_is_refused(output, message):
    with pytest.raises(DataError, match=message):
        Refiner(lambda image: output, CONSTANTS).set_image(make_image())


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3)), np.zeros((0, 5, 3), np.uint8)],
)
def test_an_array_that_is_no_image_is_refused(image):
    with pytest.raises(DataError, match="give rows x columns x 3"):
        check_image(image)


def test_without_an_image_every_question_says_so():
    refiner = Refiner(lambda image: make_logits(), CONSTANTS)
    truth = Truth.empty(SIZE, 3)
    questions = [
        lambda: refiner.refine(truth),
        lambda: refiner.preview(truth),
        lambda: refiner.sample(1),
        refiner.predictive,
        refiner.places_to_look,
        refiner.reset,
        lambda: refiner.prediction,
    ]
    for question in questions:
        with pytest.raises(DataError, match="call set_image first"):
            question()


def test_truth_that_does_not_fit_the_image_or_its_classes_is_refused(refiner):
    for ask in (refiner.refine, refiner.preview):
        with pytest.raises(TruthError, match="for 48 x 71 pixels, the image has 48 x 72"):
            ask(Truth.empty((48, 71), 3))
        with pytest.raises(TruthError, match="for 4 classes, the segmenter has 3"):
            ask(Truth.empty(SIZE, 4))


def test_an_empty_truth_gives_the_initial_prediction(refiner):
    refiner.refine(mask_truth(CLICK, 1, 3))
    for ask in (refiner.refine, refiner.preview):
        again = ask(Truth.empty(SIZE, 3))
        assert np.allclose(again.logits, resized(make_logits(), again.logits.shape[1:]), atol=1e-6)
        assert np.array_equal(again.labels, upsampled(make_logits(), make_image()).argmax(0))
        assert str(again.status) == "initial prediction"


def test_a_label_spreads_to_the_edge_and_not_beyond(refiner):
    before = refiner.set_image(make_image()).probabilities()[1]
    refined = refiner.refine(mask_truth(CLICK, 1, 3))
    rise = refined.probabilities()[1] - before
    near_edge = np.abs(np.arange(SIZE[1]) - 35.5) < 4  # where cells of both sides are mixed
    assert rise[LEFT & ~CLICK].mean() > 0.05
    assert np.abs(rise[~LEFT & ~near_edge]).max() < 0.02
    assert refined.status.labelled_cells == 1
    assert refined.status.converged


def test_truth_stands_in_the_labels_as_it_was_given(refiner):
    labels = np.random.default_rng(2).integers(0, 3, SIZE).astype(np.uint8)
    labels[np.random.default_rng(3).random(SIZE) < 0.5] = 255
    refined = refiner.refine(label_truth(labels, 3))
    assert (refined.labels == labels)[labels != 255].all()
    assert (refiner.preview(label_truth(labels, 3)).labels == labels)[labels != 255].all()
    probability = refined.probabilities()
    assert np.array_equal(probability.argmax(0)[labels != 255], labels[labels != 255])
    assert (refined.entropy()[labels != 255] == 0).all()


def test_a_soft_label_below_one_half_is_not_written_into_the_map(refiner):
    refined = refiner.refine(mask_truth(0.4 * CLICK, 1, 3))
    assert np.array_equal(refined.labels, refined.unpasted())
    assert refined.status.labelled_cells == 1


def test_a_pixel_that_is_not_of_a_class_is_of_another(refiner):
    first = refiner.set_image(make_image())
    pixels = np.argwhere(CLICK)
    allowed = np.broadcast_to(np.array([False, True, True]), (len(pixels), 3))
    truth = Truth(SIZE, pixels, allowed, np.ones(len(pixels)), np.zeros(3, bool))
    refined = refiner.refine(truth)
    assert (first.labels[CLICK] == 0).any()
    assert (refined.labels[CLICK] != 0).all()
    assert refined.probabilities()[0][LEFT].mean() < 0.9 * first.probabilities()[0][LEFT].mean()


@pytest.mark.parametrize("index", [0, 1])
def test_an_exhaustive_class_is_nowhere_else(refiner, index):
    refined = refiner.refine(mask_truth(CLICK, index, 3, "exhaustive"))
    assert ((refined.labels == index) == CLICK).all()
    assert (refined.probabilities()[index] == CLICK).all()
    assert refined.probabilities().sum(0) == pytest.approx(1, abs=1e-5)
    predictive = refiner.predictive(4)
    assert (predictive.probabilities[index] == CLICK).all()
    for drawn in refiner.sample(2):
        assert ((drawn.labels == index) == CLICK).all()


def test_where_every_class_is_excluded_none_is(refiner):
    """Exhaustive masks of all classes that leave a hole contradict each other there."""
    truth = Truth.empty(SIZE, 3)
    for index in range(3):
        truth = truth + mask_truth(block(slice(10 * index, 10 * index + 8), slice(0, 72)), index, 3, "exhaustive")
    refined = refiner.refine(truth)
    assert np.isfinite(refined.entropy()).all()
    assert refined.probabilities().sum(0) == pytest.approx(1, abs=1e-5)
    assert set(np.unique(refined.labels)) <= {0, 1, 2}


def test_an_outline_stops_the_spread_and_a_part_does_not(refiner):
    region = block(slice(12, 36), slice(8, 24))
    part, outline = (refiner.refine(mask_truth(region, 1, 3, extent)).labels for extent in ("part", "outline"))
    around = LEFT & ~region
    assert (outline[region] == 1).all()
    assert (part[around] == 1).mean() > (outline[around] == 1).mean() + 0.3


def test_the_outline_of_one_truth_does_not_cut_the_next(refiner):
    part = refiner.refine(mask_truth(CLICK, 1, 3))
    refiner.refine(mask_truth(block(slice(12, 36), slice(8, 24)), 1, 3, "outline"))
    assert np.allclose(refiner.refine(mask_truth(CLICK, 1, 3)).logits, part.logits, atol=1e-3)


TRUTHS = {
    "click": mask_truth(CLICK, 1, 3),
    "other class": mask_truth(CLICK, 2, 3),
    "two": mask_truth(CLICK, 1, 3) + mask_truth(block(slice(40, 44), slice(60, 64)), 2, 3),
    "outline": mask_truth(block(slice(4, 20), slice(4, 20)), 2, 3, "outline"),
    "nothing": Truth.empty(SIZE, 3),
}


@pytest.mark.parametrize("before", TRUTHS)
@pytest.mark.parametrize("now", TRUTHS)
def test_a_map_does_not_depend_on_the_truths_before(before, now):
    maps = []
    for truths in ([now], [before, now]):
        refiner = fresh()
        maps.append([refiner.refine(TRUTHS[name]) for name in truths][-1])
    assert np.allclose(maps[0].logits, maps[1].logits, atol=5e-3)


def test_masks_of_many_cells_hardly_depend_on_the_truths_before(refiner, monkeypatch):
    monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", 8)
    one, other = (
        mask_truth(block(slice(0, 24), slice(0, 36)), 1, 3),
        mask_truth(block(slice(16, 48), slice(20, 72)), 2, 3),
    )
    alone = refiner.refine(other).labels
    refiner.refine(one)
    assert (refiner.refine(other).labels == alone).mean() > 0.98


INSIDE = block(slice(8, 48), slice(4, 32))


def test_the_inside_of_a_mask_hardly_matters_beyond_it_and_is_of_its_class(refiner, monkeypatch):
    monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", 8)
    truth = mask_truth(INSIDE, 1, 3)
    assert settled_cells(truth, Grid.over(SIZE)).sum() > 20
    found = refiner.refine(truth)
    assert (found.unpasted()[INSIDE] == 1).mean() > 0.95
    refiner.reset()
    monkeypatch.setattr(refiner_module, "settled_cells", lambda truth, grid: np.zeros(len(grid), bool))
    assert (refiner.refine(truth).labels == found.labels).mean() > 0.99


def test_samples_of_a_mask_have_its_class_inside(refiner, monkeypatch):
    monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", 8)
    refiner.refine(mask_truth(INSIDE, 1, 3))
    for drawn in refiner.sample(4):
        assert (drawn.unpasted()[INSIDE] == 1).mean() > 0.95


@pytest.mark.parametrize("shift", range(4))
def test_labels_that_change_inside_cells_are_kept_and_finite(refiner, monkeypatch, shift):
    monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", 8)
    rows, columns = np.indices(SIZE)
    labels = np.where(2 * rows + columns < 60 + 3 * shift, 1, 2).astype(np.uint8)
    labels[20 + shift, 20] = IGNORE
    found = refiner.refine(label_truth(labels, 3))
    assert np.isfinite(found.probabilities()).all()
    known = labels != IGNORE
    assert (found.unpasted()[known] == labels[known]).mean() > 0.95
    assert np.isfinite(refiner.refine(mask_truth(INSIDE, 1, 3)).probabilities()).all()


def test_a_soft_mask_raises_its_class_inside(refiner, monkeypatch):
    monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", 8)
    found = refiner.refine(mask_truth(np.where(INSIDE, 0.8, 0.0), 1, 3, "exhaustive"))
    assert np.isfinite(found.probabilities()).all()
    assert (found.unpasted()[INSIDE] == 1).mean() > 0.9


def test_a_map_whose_pixels_are_all_labelled_is_its_truth(refiner, monkeypatch):
    monkeypatch.setattr(posterior_module, "MAX_DENSE_CELLS", 8)
    labels = np.where(LEFT, 1, 2).astype(np.uint8)
    assert (refiner.refine(label_truth(labels, 3)).unpasted() == labels).mean() > 0.95


def test_a_preview_is_close_to_the_map_and_leaves_the_refiner_as_it_was(refiner):
    truth = mask_truth(CLICK, 1, 3)
    quick = refiner.preview(truth)
    assert refiner.places_to_look() == fresh().places_to_look()
    assert (quick.labels == refiner.refine(truth).labels).mean() > 0.9


def test_samples_repeat_by_their_seed_and_differ_otherwise(refiner):
    for _ in range(2):
        one, same, other = (refiner.sample(2, seed) for seed in (5, 5, 6))
        assert all(np.array_equal(a.logits, b.logits) for a, b in zip(one, same, strict=True))
        assert not np.array_equal(one[0].logits, one[1].logits)
        assert not np.array_equal(one[0].logits, other[0].logits)
        refiner.refine(mask_truth(CLICK, 1, 3))


def test_samples_vary_less_around_labelled_pixels(refiner):
    def deviation() -> np.ndarray:
        drawn = np.stack([one.logits for one in refiner.sample(200)])
        return (drawn[:, 1] - drawn[:, 0]).std(0)

    before = deviation()
    refiner.refine(mask_truth(CLICK, 0, 3))
    ratio = deviation() / before
    assert ratio[5, 4] < 0.85
    assert ratio[5, 4] < ratio[:, 12:].mean() - 0.1
    assert ratio[:, 12:].mean() == pytest.approx(1, abs=0.1)


def test_the_predictive_probabilities_are_those_of_the_samples(refiner):
    refiner.refine(mask_truth(CLICK, 1, 3))
    predictive = refiner.predictive(8, seed=3)
    drawn = np.mean([softmax(one.logits, 0) for one in refiner.sample(8, seed=3)], axis=0)
    expected = resized(drawn, SIZE)
    assert predictive.probabilities[:, ~CLICK] == pytest.approx(expected[:, ~CLICK], abs=1e-5)
    assert (predictive.probabilities[1, CLICK] == 1).all()
    assert (predictive.mutual_information[CLICK] == 0).all()
    assert (predictive.entropy() <= np.log(3) + 1e-5).all()
    assert (predictive.mutual_information >= 0).all()
    assert 0 < predictive.mutual_information.max() < np.log(3)


def test_a_start_is_the_initial_prediction_until_a_reset(refiner):
    first = refiner.set_image(make_image())
    truth = mask_truth(CLICK, 1, 3)
    refined = refiner.refine(truth)
    sample = refiner.sample(1, seed=4)[0]
    assert np.array_equal(refiner.start_from(sample).logits, sample.logits)
    assert np.allclose(refiner.refine(Truth.empty(SIZE, 3)).logits, sample.logits)
    assert (refiner.refine(truth).labels == sample.labels)[~LEFT].mean() > 0.9
    refiner.reset()
    assert np.array_equal(refiner.prediction.base_logits, first.logits)
    assert np.array_equal(refiner.refine(truth).logits, refined.logits)


def test_a_start_forgets_the_truth(refiner):
    refiner.refine(mask_truth(CLICK, 1, 3, "exhaustive"))
    sample = refiner.sample(1)[0]
    assert len(refiner.start_from(sample).truth) == 0
    assert not refiner.sample(1)[0].truth.exhaustive.any()


def test_places_to_look_lie_in_the_image_and_shrink_with_truth(refiner):
    places = refiner.places_to_look(3)
    changes = [place.expected_change for place in places]
    assert 0 < len(places) <= 3
    assert changes == sorted(changes, reverse=True)
    assert refiner.expected_change() == changes[0] <= 1
    refiner.refine(label_truth(refiner.set_image(make_image()).labels, 3))
    assert refiner.places_to_look() == []
    assert refiner.expected_change() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 40), (9, 2)])
def test_images_of_a_few_pixels_are_images(size):
    refiner = Refiner(lambda image: make_logits(4, 4), CONSTANTS)
    first = refiner.set_image(make_image(size))
    assert first.labels.shape == size
    refined = refiner.refine(point_truth([(0, 0)], 2, 3, size))
    assert refined.labels.shape == size
    assert refined.labels[0, 0] == 2
    assert refiner.preview(point_truth([(0, 0)], 1, 3, size)).labels[0, 0] == 1
    assert refiner.sample(1)[0].labels.shape == size
    assert np.isfinite(refiner.predictive(2).probabilities).all()
    assert all(place.height <= size[0] and place.width <= size[1] for place in refiner.places_to_look())
    assert (refiner.refine(mask_truth(np.ones(size, bool), 1, 3, "outline")).labels == 1).all()


def test_the_shipped_constants_serve_an_image_of_one_pixel():
    refiner = Refiner(lambda image: make_logits(1, 1))
    with np.errstate(over="raise", invalid="raise"):
        refiner.set_image(make_image((1, 1)))
        assert refiner.refine(point_truth([(0, 0)], 2, 3, (1, 1))).unpasted()[0, 0] == 2
        refiner.preview(point_truth([(0, 0)], 2, 3, (1, 1)))
        refiner.sample(2)


def test_labels_at_another_size_are_of_the_logits_there_and_keep_an_exhaustive_class_in_its_place(refiner):
    image = np.zeros((96, 144, 3), np.uint8)  # of one colour, so it guides to nothing
    refined = refiner.refine(mask_truth(CLICK, 1, 3))
    assert np.array_equal(refined.unpasted(image), resized(refined.logits, (96, 144)).argmax(0))
    labels = refiner.refine(mask_truth(CLICK, 1, 3, "exhaustive")).unpasted(image)
    assert ((labels == 1) <= CLICK.repeat(2, 0).repeat(2, 1)).all()


def test_the_temperature_divides_the_initial_prediction():
    refiner = Refiner(lambda image: make_logits(), replace(CONSTANTS, temperature=4.0))
    first = refiner.set_image(make_image())
    assert np.allclose(first.logits, make_logits() / 4)
    assert np.array_equal(refiner.prediction.base_logits, first.logits)


def test_the_status_counts_in_words():
    assert str(Status(1, 1, True)) == "1 labelled cell, 1 solver step"
    assert str(Status(2, 3, False)) == "2 labelled cells, 3 solver steps, stopped early"


def test_memory_grows_with_the_labelled_cells(refiner):
    before = refiner.nbytes
    assert before > refiner.prediction.base_logits.nbytes
    refiner.refine(mask_truth(CLICK, 1, 3))
    column, mode, between_labels = 12 * 18 * 8, 3 * 12 * 18 * 8, 3 * 8
    assert refiner.nbytes == before + column + mode + between_labels


# With the paper's code: on an image of 128 x 192 the cells of the field are those of the network's grid.

LARGE = (128, 192)
CODE_ALONE = replace(CONSTANTS, prior_variance=1e-9, label_weight=1.0, code_variance=1.0)
STROKE = np.zeros(LARGE, bool)
STROKE[40:60, 20:80] = True


def test_a_refinement_without_a_field_is_that_of_the_code_path(tiny_model):
    refiner = Refiner(tiny_model, CODE_ALONE)
    first = refiner.set_image(make_image(LARGE))
    truth = mask_truth(STROKE, 2, 4)
    assert first.b.shape == first.logits.shape[1:] == TINY.size
    refined = refiner.refine(truth)
    fine = CodeConfig(pixels=10**6, stopping=Stopping(200, 1e-9))
    solved = optimise_code(tiny_model.predict(make_image(LARGE)), truth, fine)
    assert np.allclose(refined.logits, solved.logits, atol=0.05)
    assert refined.code.shape == solved.solution.code.shape


def test_a_loaded_model_refines_with_its_classes_beside_it(tiny_model):
    loaded = LoadedModel(tiny_model, ClassSet(tuple("abcd"), ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3))))
    image = make_image(LARGE)
    assert (Refiner(loaded).set_image(image).labels == Refiner(tiny_model).set_image(image).labels).all()


MANY = np.zeros(LARGE, bool)
MANY[30:110, 20:170] = True


def test_the_code_explains_many_labels_by_their_weight(tiny_model):
    """No change at weight 0; else that of the paper's refinement with this weight, whatever the field does."""
    image, truth = make_image(LARGE), mask_truth(MANY, 2, 4)
    maps = []
    for weight in (0.0, 1 / 64, 1.0):
        refiner = Refiner(tiny_model, replace(CONSTANTS, code_variance=1.0, code_weight=weight))
        refiner.set_image(image)
        maps.append(refiner.refine(truth))
        assert maps[-1].status.labelled_cells > MAX_DENSE_CELLS
        assert (maps[-1].labels[MANY] == 2).all()
    assert not maps[0].code.any()
    assert 0.1 < np.linalg.norm(maps[1].code) < np.linalg.norm(maps[2].code)
    without = Refiner(tiny_model, replace(CONSTANTS, code_variance=0.0))
    without.set_image(image)
    assert np.allclose(maps[0].logits, without.refine(truth).logits, atol=1e-5)


def test_the_code_of_many_labels_is_that_of_the_weighted_energy(tiny_model):
    refiner = Refiner(tiny_model, replace(CODE_ALONE, code_weight=0.25))
    refiner.set_image(make_image(LARGE))
    truth = mask_truth(MANY, 2, 4)
    code = refiner.refine(truth).code
    objective = build_objective(tiny_model.predict(make_image(LARGE)), truth, CodeConfig(pixels=10**6))
    weighted = replace(objective, weight=0.25 * objective.weight)
    least = gauss_newton(weighted, np.zeros(TINY.code_size), Stopping(200, 1e-9)).code
    assert weighted.at(code).value <= 1.1 * weighted.at(least).value
    assert weighted.at(least).value < 0.9 * weighted.at(np.zeros(TINY.code_size)).value


def test_maps_and_samples_are_affine_in_their_code(tiny_model):
    refiner = Refiner(tiny_model, replace(CODE_ALONE, code_variance=4.0, temperature=2.0))
    refiner.set_image(make_image(LARGE))
    of_model = tiny_model.predict(make_image(LARGE))
    for map_ in (refiner.sample(1)[0], refiner.refine(mask_truth(STROKE, 2, 4)), refiner.sample(1)[0]):
        assert np.linalg.norm(map_.code) > 0.1
        logits = of_model.base_logits + of_model.code.added(map_.code[None])[0]
        assert np.allclose(map_.logits, logits / 2, atol=1e-2)


def test_codes_of_samples_have_the_variance_of_the_prior(tiny_model):
    refiner = Refiner(tiny_model, replace(CODE_ALONE, code_variance=4.0))
    refiner.set_image(make_image(LARGE))
    codes = np.stack([one.code for one in refiner.sample(100)])
    assert codes.std(0) == pytest.approx(np.full(TINY.code_size, 2.0), rel=0.3)


def test_without_code_variance_a_model_with_a_code_is_refined_by_the_field(tiny_model):
    refiner = Refiner(tiny_model, CONSTANTS)
    refiner.set_image(make_image(LARGE))
    refined = refiner.refine(mask_truth(STROKE, 2, 4))
    assert refined.code is None
    assert refiner.sample(1)[0].code is None
    assert (refined.labels[STROKE] == 2).all()


def test_places_to_look_are_those_of_the_map_with_its_code(tiny_model, monkeypatch):
    refiner = Refiner(tiny_model, replace(CONSTANTS, code_variance=1.0, temperature=2.0))
    refiner.set_image(make_image(LARGE))
    refined = refiner.refine(mask_truth(STROKE, 2, 4))
    seen = []
    monkeypatch.setattr(
        refiner_module, "expected_changes", lambda logits, *_: seen.append(logits) or np.zeros(len(logits))
    )
    refiner.places_to_look()
    assert seen[0] == pytest.approx(refined.logits.reshape(4, -1).T, abs=1e-4)


def test_a_start_on_a_finer_grid_is_refined_with_the_code(tiny_model):
    """A map has the finer of both grids, the code path that of the network."""
    size = (200, 300)
    refiner = Refiner(tiny_model, replace(CONSTANTS, code_variance=1.0))
    refiner.set_image(make_image(size))
    sample = refiner.sample(1)[0]
    assert sample.logits.shape[1:] == (50, 75)
    refiner.start_from(sample)
    truth = mask_truth(np.arange(200)[:, None] + np.zeros(300) > 190, 2, 4)
    assert (refiner.refine(truth).labels[191:] == 2).all()


def test_draws_lie_as_far_from_the_mode_as_their_scale_says():
    def drawn(scale: float) -> tuple[np.ndarray, np.ndarray]:
        refiner = Refiner(lambda image: make_logits(), replace(CONSTANTS, draw_scale=scale))
        refiner.set_image(make_image())
        mode = refiner.refine(mask_truth(CLICK, 1, 3)).logits
        return mode, refiner.sample(1, seed=3)[0].logits

    mode, far = drawn(1.0)
    assert np.abs(far - mode).max() > 0.5
    assert np.allclose(drawn(0.25)[1] - mode, (far - mode) / 4, atol=1e-4)
