from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from noise import CLASSES, Noise

from segcode.classes import ClassSet
from segcode.errors import ConfigError, DataError
from segcode.evaluation.clicks import EXHAUSTIVE, ClickConfig, final_accuracy, measure_clicks, nested_masks
from segcode.evaluation.figures import click_curves, pixel_curves
from segcode.evaluation.methods import Pasted, Refined
from segcode.evaluation.results import Subject
from segcode.evaluation.tables import click_tables
from segcode.metrics import confusion_matrix, pixel_accuracy
from segcode.refinement.refiner import Refiner
from segcode.sample import Sample
from segcode.streets import Streets
from segcode.tensors import IGNORE
from segcode.truth.mask import mask_truth
from tiny import TINY, make_model

ROWS, COLUMNS = 20, 32


class FewStreets(Noise):
    """Small synthetic streets of four classes; the first has no tree."""

    def __getitem__(self, index: int) -> Sample:
        street = Streets(3, height=ROWS, width=COLUMNS)["abc".index(self.names[index])]
        labels = (street.labels % 3 if self.names[index] == "a" else street.labels % 4).astype(np.uint8)
        labels[0] = IGNORE
        return Sample(self.names[index], street.image, labels if self.labelled else None)


class Recorded(Pasted):
    """Pasting that keeps the truths that it was given."""

    name = "recorded"

    def __init__(self):
        self.truths = []

    def refine(self, truth):
        self.truths.append(truth)
        return super().refine(truth)


class Flawed(Pasted):
    """All labels of image "b" but for one corner."""

    name = "flawed"

    def refine(self, truth):
        labels = FewStreets()[1].labels.astype(np.int64)
        labels[-2:, -2:] = (labels[-2:, -2:] + 1) % 4
        labels[labels == IGNORE] = 0
        return np.eye(4, dtype=np.float32)[labels].transpose(2, 0, 1)


@pytest.fixture(scope="module")
def refiner():
    return Refiner(make_model(TINY))


def measured(refiner, methods, config, names=("a", "b", "c")):
    return measure_clicks(refiner, CLASSES, FewStreets(names=names), methods, config)


BOTH = ClickConfig(clicks=3, truths=("road", "tree"), amounts=(1, 5, 20))


@pytest.fixture(scope="module")
def results(refiner):
    return measured(refiner, [Pasted(), Refined()], BOTH)


def column(results, name, **cells):
    return [row[name] for row in results.find(**{"pixels": "all"} | cells)]


@given(
    arrays(np.uint8, (6, 7), elements=st.integers(0, 2)),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.integers(0, 99),
)
def test_fewer_random_pixels_are_among_the_more(labels, amounts, seed):
    masks = list(nested_masks(labels, 1, amounts, np.random.default_rng(seed)).items())
    for (_, fewer), (_, more) in pairwise(masks):
        assert (more | fewer == more).all()
    for amount, mask in masks:
        assert mask.sum() == min(amount, (labels == 1).sum())
        assert (labels[mask] == 1).all()


def test_pixels_are_drawn_alike_whatever_amounts_are_asked_for():
    labels = np.zeros((9, 9), np.uint8)
    few, many = (nested_masks(labels, 0, amounts, np.random.default_rng(5)) for amounts in ([5], [1, 5, 7]))
    assert (few[5] == many[5]).all()


def test_every_protocol_method_truth_amount_and_set_of_pixels_has_one_row(results):
    counted = [row for row in results.rows if row["protocol"] != "click"]
    keys = {tuple(row[name] for name in ("protocol", "method", "truth", "amount", "pixels")) for row in counted}
    assert len(keys) == len(counted) == 2 * 2 * (2 * (3 + 1) + 4)
    assert column(results, "amount", protocol="pixels", method="segcode", truth="tree") == [1, 5, 20]
    assert column(results, "amount", protocol="mask", method="segcode", truth="tree") == [EXHAUSTIVE]
    assert column(results, "amount", protocol="clicks", method="segcode") == [0, 1, 2, 3]


def test_images_without_the_class_are_left_out_of_its_counts(results):
    counted = [row for row in results.rows if row["protocol"] in ("pixels", "mask")]
    assert {row["images"] for row in counted if row["truth"] == "tree"} == {2}
    assert {row["images"] for row in counted if row["truth"] == "road"} == {3}
    assert results.images == 3


def test_pasting_removes_no_error_beyond_itself(results):
    assert set(column(results, "error_removed_after_pasting", method="pasted", protocol="pixels")) == {0}
    assert set(column(results, "error_removed_after_pasting", method="pasted", protocol="clicks")) == {0}
    assert set(column(results, "images_below_pasting", method="pasted", protocol="clicks")) == {0}


@pytest.mark.parametrize(("score", "reference"), [("error_removed", 0), ("click_efficiency", 0)])
def test_before_the_first_click_nothing_is_gained(results, score, reference):
    for method in ("pasted", "segcode"):
        assert column(results, score, protocol="clicks", method=method)[0] in (reference, None)


def test_error_removed_compares_accuracies_on_the_same_pixels(results):
    accuracies = column(results, "pixel_accuracy", protocol="clicks", method="segcode")
    removed = column(results, "error_removed", protocol="clicks", method="segcode")
    assert removed == pytest.approx([1 - (1 - a) / (1 - accuracies[0]) for a in accuracies])
    pasted, segcode = (
        column(results, "pixel_accuracy", protocol="pixels", method=method, truth="road")
        for method in ("pasted", "segcode")
    )
    beyond = column(results, "error_removed_after_pasting", protocol="pixels", method="segcode", truth="road")
    assert beyond == pytest.approx([1 - (1 - s) / (1 - p) for p, s in zip(pasted, segcode, strict=True)])
    assert any(beyond)


def test_more_pasted_pixels_never_hurt_and_the_unlabelled_stay_as_they_were(results):
    accuracies = column(results, "pixel_accuracy", protocol="pixels", method="pasted", truth="road")
    assert accuracies == sorted(accuracies)
    outcomes = (results.outcomes[Subject("pixels", "pasted", "road", amount, "unlabelled")] for amount in (1, 5, 20))
    pixels = [sum(int(outcome.matrix.sum()) for outcome in images) for images in outcomes]
    assert pixels == [3 * (ROWS - 1) * COLUMNS - 3 * amount for amount in (1, 5, 20)]


def test_an_exhaustive_mask_is_what_the_refiner_makes_of_it(refiner, results):
    matrix = torch.zeros(4, 4, dtype=torch.long)
    for sample in FewStreets():
        refiner.set_image(sample.image)
        prediction = refiner.refine(mask_truth(sample.labels == 0, 0, 4, "exhaustive")).labels
        matrix += confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(sample.labels), 4)
    (accuracy,) = column(results, "pixel_accuracy", protocol="mask", method="segcode", truth="road")
    assert accuracy == pytest.approx(pixel_accuracy(matrix))


def test_clicking_starts_from_the_initial_prediction(refiner, results):
    matrix = torch.zeros(4, 4, dtype=torch.long)
    for sample in FewStreets():
        initial = refiner.set_image(sample.image).labels
        matrix += confusion_matrix(torch.from_numpy(initial), torch.from_numpy(sample.labels), 4)
    for row in results.find(protocol="clicks", amount=0, pixels="all"):
        assert row["pixel_accuracy"] == pytest.approx(pixel_accuracy(matrix))
        assert row["seconds"] is None


def test_pasting_until_nothing_is_wrong_makes_everything_right(refiner):
    results = measured(refiner, [Pasted()], ClickConfig(clicks=250, radius=4.0, jitter=0.0), names=("a",))
    accuracies = column(results, "pixel_accuracy", protocol="clicks")
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < accuracies[-1] == 1
    assert accuracies.count(1) > 1  # and stays so, without a click
    assert column(results, "mean_iou", protocol="clicks")[-1] == 1
    assert column(results, "seconds", protocol="clicks")[-1] is None
    assert column(results, "click_efficiency", protocol="clicks")[-1] == 1
    assert set(column(results, "harmful_clicks", protocol="clicks")[1:]) == {0}
    assert set(column(results, "broken_per_repaired", protocol="clicks")[1:]) == {0}


def test_repairing_the_largest_regions_has_a_click_efficiency_of_one(refiner):
    """With disks as large as the image and no jitter, each click repairs all of its class: at least its region."""
    results = measured(refiner, [Pasted()], ClickConfig(clicks=4, radius=99.0, jitter=0.0))
    assert all(efficiency >= 1 for efficiency in column(results, "click_efficiency", protocol="clicks")[1:])


def test_a_method_that_breaks_more_than_it_repairs_is_harmful(refiner):
    class Wrecking(Pasted):
        """All pixels of the class of the last click."""

        name = "wrecking"

        def refine(self, truth):
            logits = np.zeros((4, ROWS, COLUMNS), np.float32)
            logits[int(truth.allowed[-1].argmax())] = 1
            return logits

    results = measured(refiner, [Wrecking()], ClickConfig(clicks=4))
    accuracies = column(results, "pixel_accuracy", protocol="clicks")
    (row,) = results.find(protocol="click", truth=None)
    assert row["clicks"] == 12
    gained = sum(accuracies[-1:]) - accuracies[0]
    assert (row["broken_per_repaired"] < 1) == (gained > 0)
    assert 0 < row["harmful_clicks"] < 1
    by_class = [r for r in results.find(protocol="click") if r["truth"] is not None]
    assert sum(r["clicks"] for r in by_class) == 12
    assert sum(r["clicks"] * r["harmful_clicks"] for r in by_class) == pytest.approx(12 * row["harmful_clicks"])
    below = column(results, "images_below_pasting", protocol="clicks")
    assert below[0] == 0 < max(below)


def test_truth_of_the_clicks_accumulates(refiner):
    recorded = Recorded()
    measured(refiner, [recorded], ClickConfig(clicks=5, jitter=0.0), names=("b",))
    labels = FewStreets()[1].labels
    assert len(recorded.truths) == 5
    for before, after in pairwise(recorded.truths):
        assert (after.known_mask | ~before.known_mask).all()
        assert after.known_mask.sum() > before.known_mask.sum()
    last = recorded.truths[-1]
    assert (last.labels[last.known_mask] == labels[last.known_mask]).all()


def test_each_method_is_clicked_on_its_own_errors(refiner):
    class RecordedFlawed(Recorded):
        name = "flawed"

        def refine(self, truth):
            super().refine(truth)
            return Flawed().refine(truth)

    recorded, flawed = Recorded(), RecordedFlawed()
    measured(refiner, [recorded, flawed], ClickConfig(clicks=2, radius=0.0, jitter=0.0), names=("b",))
    assert recorded.truths[0].pixels.tolist() == flawed.truths[0].pixels.tolist()
    assert min(flawed.truths[1].pixels[-1].tolist()) >= ROWS - 2
    assert recorded.truths[1].pixels.tolist() != flawed.truths[1].pixels.tolist()


def test_seed_and_name_of_an_image_alone_decide_what_is_labelled(refiner):
    def labelled(names, seed):
        recorded = Recorded()
        measured(refiner, [recorded], replace(BOTH, seed=seed, clicks=2), names)
        return [truth.pixels.tolist() for truth in recorded.truths]

    count = len(labelled(("b",), 0))
    assert labelled(("a", "b"), 0)[-count:] == labelled(("b",), 0)
    assert labelled(("b",), 0) != labelled(("b",), 1)


def test_the_final_accuracy_is_that_of_the_curve(refiner, results):
    expected = column(results, "pixel_accuracy", protocol="clicks", method="segcode")[-1]
    assert final_accuracy(refiner, CLASSES, FewStreets(), Refined(), BOTH) == pytest.approx(expected)


def test_any_function_is_a_segmenter():
    def brightness(image):
        return np.stack([-np.abs(image[::4, ::4].mean(2) / 64 - index) for index in range(4)])

    results = measured(Refiner(brightness), [Pasted(), Refined()], ClickConfig(clicks=2))
    assert {row["method"] for row in results.rows} == {"pasted", "segcode"}
    with pytest.raises(DataError, match="the segmenter has 3 classes, the data 4"):
        measured(Refiner(lambda image: brightness(image)[:3]), [Pasted()], ClickConfig(clicks=1))


def test_tables_hold_the_percentages(results):
    text = click_tables(results)
    for row in results.find(protocol="clicks", method="segcode", pixels="all"):
        assert f"{100 * row['mean_iou']:.2f}" in text
    accuracies = column(results, "pixel_accuracy", protocol="pixels", method="segcode", truth="road")
    assert "| road, segcode | " + " | ".join(f"{100 * a:.2f}" for a in accuracies) + " |" in text
    own, other = (column(results, "mean_iou", protocol="clicks", method=m)[3] for m in ("segcode", "pasted"))
    (lead,) = [line for line in text.splitlines() if line.startswith("| pasted | 3 clicks |")]
    assert f"| {100 * (own - other):+.2f} [" in lead


def test_curves_have_a_line_for_each_method(results):
    for figure, panels in ((click_curves(results), 4), (pixel_curves(results), 2)):
        assert len(figure.axes) == panels
        assert all({line.get_label() for line in axes.lines} >= {"pasted", "segcode"} for axes in figure.axes)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"clicks": 0}, "no truth and no clicks"),
        ({"amounts": (5, 0)}, "amounts: 0"),
        ({"radius": -1.0}, "radius: -1"),
        ({"jitter": -1.0}, "jitter: -1"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers, message):
    with pytest.raises(ConfigError, match=message):
        ClickConfig(**numbers)


def test_mistakes_are_refused_before_any_measuring(refiner):
    clicks = ClickConfig(clicks=1)
    with pytest.raises(ConfigError, match="two methods are called 'pasted'"):
        measured(refiner, [Pasted(), Pasted()], clicks)
    with pytest.raises(ConfigError, match="'roads': did you mean 'road'"):
        measured(refiner, [Pasted()], ClickConfig(truths=("roads",)))
    with pytest.raises(ConfigError, match="a block is 50"):
        measured(refiner, [Pasted()], ClickConfig(block=50))
    other = ClassSet(("a", "b", "c", "d"), CLASSES.colours)
    with pytest.raises(DataError, match="the data has the classes a, b, c, d"):
        measure_clicks(refiner, CLASSES, FewStreets(classes=other), [Pasted()], clicks)
    with pytest.raises(DataError, match="'a' has no labels"):
        measure_clicks(refiner, CLASSES, FewStreets(labelled=False), [Pasted()], clicks)
