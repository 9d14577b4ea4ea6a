from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from noise import CLASSES, Noise
from PIL import Image as Pillow

from segcode.classes import ClassSet
from segcode.errors import ConfigError, DataError
from segcode.evaluation import effort_report
from segcode.evaluation.effort import WHOLE, EffortConfig, Key, measure_effort, nested_masks, pasted_map, total
from segcode.evaluation.effort_report import effort_tables, write_effort
from segcode.evaluation.methods import Inferred, Optimised, Pasted, Proposed
from segcode.metrics import confusion_matrix, pixel_accuracy
from segcode.model.checkpoint import LoadedModel
from segcode.refinement.refiner import Refiner
from segcode.sample import Sample
from segcode.streets import Streets
from segcode.tensors import IGNORE
from segcode.truth.mask import label_truth
from tiny import TINY, make_model

ROWS, COLUMNS = 20, 32


class FewStreets(Noise):
    """Small synthetic streets of four classes; the first has no tree."""

    def __getitem__(self, index: int) -> Sample:
        street = Streets(3, height=ROWS, width=COLUMNS)["abc".index(self.names[index])]
        labels = (street.labels % 3 if self.names[index] == "a" else street.labels % 4).astype(np.uint8)
        labels[0] = IGNORE
        return Sample(self.names[index], street.image, labels if self.labelled else None)


class Told:
    """Pasting that writes down what it was told."""

    name = "told"

    def begin(self, refiner, image):
        self.zero = refiner.linearised.base
        self.truths = []

    def refine(self, truth):
        self.truths.append(truth)
        return self.zero


@pytest.fixture(scope="module")
def trained():
    return LoadedModel(make_model(TINY), CLASSES, "tests")


BOTH = EffortConfig(("road", "tree"), (1, 5, 20), clicks=3)


@pytest.fixture(scope="module")
def effort(trained):
    return measure_effort(trained, FewStreets(), [Pasted(), Inferred(), Optimised(), Proposed()], BOTH)


@given(
    arrays(np.uint8, (6, 7), elements=st.integers(0, 2)),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.integers(0, 99),
)
def test_fewer_revealed_pixels_are_among_the_more(labels, amounts, seed):
    masks = list(nested_masks(labels, 1, amounts, np.random.default_rng(seed)).items())
    for (_, fewer), (_, more) in pairwise(masks):
        assert (more | fewer == more).all()
    for amount, mask in masks[:-1]:
        assert mask.sum() == min(amount, (labels == 1).sum())
    assert masks[-1][0] == WHOLE
    assert (masks[-1][1] == (labels == 1)).all()


def test_pixels_are_drawn_alike_whatever_amounts_are_asked_for():
    labels = np.zeros((9, 9), np.uint8)
    few, many = (nested_masks(labels, 0, amounts, np.random.default_rng(5)) for amounts in ([5], [1, 5, 7]))
    assert (few[5] == many[5]).all()


def test_the_map_is_the_refiners_with_the_truth_in_it(trained):
    sample = FewStreets()[0]
    refiner = Refiner(trained.model)
    zero = refiner.set_image(sample.image)
    truth = label_truth(np.where(sample.labels == 1, sample.labels, np.uint8(IGNORE)), 4)
    assert (pasted_map(zero.logits, truth) == zero.pasted(truth)).all()


def test_every_protocol_method_truth_amount_and_set_of_pixels_has_one_row(effort):
    keys = {(r.protocol, r.method, r.truth, r.amount, r.pixels) for r in effort.rows}
    assert len(keys) == len(effort.rows) == 2 * 4 * (2 * 4 + 4)
    assert effort.methods == ("pasted", "pasted, inferred", "segcode", "segcode, proposal alone")
    assert effort.truths == ("road", "tree")
    assert [r.amount for r in effort.curve("pixels", "segcode", "tree")] == [1, 5, 20, WHOLE]
    assert [r.amount for r in effort.curve("clicks", "segcode")] == [0, 1, 2, 3]


def test_images_without_the_class_are_left_out_of_its_counts(effort):
    assert {r.images for r in effort.rows if r.truth == "tree"} == {2}
    assert {r.images for r in effort.rows if r.truth != "tree"} == {3}
    assert effort.images == 3


def test_classes_stand_in_the_order_asked_for_even_if_the_first_image_lacks_one(trained):
    effort = measure_effort(trained, FewStreets(), [Pasted()], EffortConfig(("tree", "road"), (1,), clicks=0))
    assert effort.truths == ("tree", "road")


def test_rows_are_the_sums_of_the_images(effort):
    for row in effort.rows:
        matrices = effort.matrices[Key(row.protocol, row.method, row.truth, row.amount, row.pixels)]
        assert len(matrices) == row.images
        if row.pixel_accuracy is not None:
            assert row.pixel_accuracy == pytest.approx(pixel_accuracy(total(matrices)))


def test_pasting_removes_no_error_beyond_itself(effort):
    for truth in ("road", "tree"):
        assert [row.error_removed for row in effort.curve("pixels", "pasted", truth)] == [0, 0, 0, 0]


def test_error_removed_compares_accuracies_on_the_same_pixels(effort):
    pasted, segcode = (effort.curve("pixels", method, "road") for method in ("pasted", "segcode"))
    for p, s in zip(pasted, segcode, strict=True):
        assert s.error_removed == pytest.approx(1 - (1 - s.pixel_accuracy) / (1 - p.pixel_accuracy))
    assert any(row.error_removed != 0 for row in segcode)


def test_more_pasted_pixels_never_hurt_and_the_unrevealed_stay_as_they_were(trained, effort):
    accuracies = [row.pixel_accuracy for row in effort.curve("pixels", "pasted", "road")]
    assert accuracies == sorted(accuracies)
    sums = [
        total(effort.matrices[Key("pixels", "pasted", "road", amount, "unrevealed")]).sum() for amount in (1, 5, 20)
    ]
    assert [int(s) for s in sums] == [3 * (ROWS - 1) * COLUMNS - 3 * amount for amount in (1, 5, 20)]


def test_the_whole_class_revealed_is_what_evaluate_measures(trained, effort):
    matrix = torch.zeros(4, 4, dtype=torch.long)
    for i in range(3):
        sample = FewStreets()[i]
        refiner = Refiner(trained.model)
        refiner.set_image(sample.image)
        truth = label_truth(np.where(sample.labels == 0, sample.labels, np.uint8(IGNORE)), 4)
        prediction = refiner.refine(truth).pasted(truth)
        matrix += confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(sample.labels), 4)
    assert effort.curve("pixels", "segcode", "road")[-1].pixel_accuracy == pytest.approx(pixel_accuracy(matrix))


def test_clicking_starts_from_the_zero_code_map(trained, effort):
    matrix = torch.zeros(4, 4, dtype=torch.long)
    for i in range(3):
        sample = FewStreets()[i]
        zero = Refiner(trained.model).set_image(sample.image).labels
        matrix += confusion_matrix(torch.from_numpy(zero), torch.from_numpy(sample.labels), 4)
    for method in effort.methods:
        first = effort.curve("clicks", method)[0]
        assert first.pixel_accuracy == pytest.approx(pixel_accuracy(matrix))
        assert first.seconds is None


def test_pasting_until_nothing_is_wrong_makes_everything_right(trained):
    config = EffortConfig(clicks=250, radius=4.0, jitter=0.0)
    effort = measure_effort(trained, FewStreets(names=("a",)), [Pasted()], config)
    accuracies = [row.pixel_accuracy for row in effort.curve("clicks", "pasted")]
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < accuracies[-1] == 1
    assert accuracies.count(1) > 1  # and stays so, without a click
    assert effort.curve("clicks", "pasted")[-1].mean_iou == 1
    assert effort.curve("clicks", "pasted")[-1].seconds is None


def test_truth_of_the_clicks_accumulates(trained):
    told = Told()
    measure_effort(trained, FewStreets(names=("b",)), [told], EffortConfig(clicks=5, jitter=0.0))
    labels = torch.from_numpy(FewStreets()[1].labels)
    assert len(told.truths) == 5
    for before, after in pairwise(told.truths):
        assert (after.revealed() | ~before.revealed()).all()
        assert after.revealed().sum() > before.revealed().sum()
    last = told.truths[-1]
    assert (last.allowed.long().argmax(1) == labels[last.pixels[:, 0], last.pixels[:, 1]]).all()


def test_each_method_is_clicked_on_its_own_errors(trained):
    class Right(Told):
        """Knows the image by heart, but for one corner."""

        name = "right"

        def refine(self, truth):
            super().refine(truth)
            labels = FewStreets()[1].labels.astype(np.int64)
            labels[-2:, -2:] = (labels[-2:, -2:] + 1) % 4
            labels[labels == IGNORE] = 0
            return torch.nn.functional.one_hot(torch.from_numpy(labels), 4).permute(2, 0, 1).float()

    told, right = Told(), Right()
    measure_effort(trained, FewStreets(names=("b",)), [told, right], EffortConfig(clicks=2, radius=0.0, jitter=0.0))
    assert told.truths[0].pixels.tolist() == right.truths[0].pixels.tolist()
    assert min(right.truths[1].pixels[-1].tolist()) >= ROWS - 2
    assert told.truths[1].pixels.tolist() != right.truths[1].pixels.tolist()


def test_seed_and_name_of_an_image_alone_decide_what_is_revealed(trained):
    def revealed(names, seed):
        told = Told()
        config = replace(BOTH, seed=seed, clicks=2)
        measure_effort(trained, FewStreets(names=names), [told], config)
        return [truth.pixels.tolist() for truth in told.truths]

    assert revealed(("a", "b"), 0) == revealed(("b",), 0)
    assert revealed(("b",), 0) != revealed(("b",), 1)


def test_the_report_has_every_table_and_picture(effort, tmp_path):
    write_effort(effort, tmp_path, "segcode effort", {"model": "tiny"})
    names = {"effort.json", "effort.csv", "effort.md", "effort_pixels.png", "effort_clicks.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    results = json.loads((tmp_path / "effort.json").read_text())
    assert {"command", "commit", "versions", "settings", "images", "rows"} <= set(results)
    header, *table = csv.reader((tmp_path / "effort.csv").open())
    assert len(table) == len(results["rows"]) == len(effort.rows)
    assert list(results["rows"][0]) == header
    for name in ("effort_pixels", "effort_clicks"):
        with Pillow.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 100


def test_one_protocol_alone_has_its_figure_alone(trained, tmp_path):
    for config, names in (
        (EffortConfig(("road",), (1,), clicks=0), {"effort_pixels.png"}),
        (EffortConfig(clicks=1), {"effort_clicks.png"}),
    ):
        out = tmp_path / names.copy().pop()
        write_effort(measure_effort(trained, FewStreets(names=("a",)), [Pasted()], config), out, "", {})
        assert {path.name for path in out.glob("*.png")} == names


def test_tables_hold_the_percentages(effort):
    text = effort_tables(effort)
    everywhere = effort.curve("pixels", "segcode", "road")[-1]
    unrevealed = effort.curve("pixels", "segcode", "road", "unrevealed")[-1]
    lines = [line for line in text.splitlines() if line.startswith("| road, segcode |")]
    scores = (everywhere.error_removed, everywhere.pixel_accuracy, unrevealed.pixel_accuracy, everywhere.mean_iou)
    for line, score in zip(lines, scores, strict=True):
        assert f"| {100 * score:.2f} | 3 |" in line
    for row in effort.curve("clicks", "segcode"):
        assert f"{100 * row.mean_iou:.2f}" in text
    widths = [line.count("|") for line in text.splitlines()]
    # 1 + name, 4 amounts or clicks, images, seconds; name, 4 amounts; name, 3 clicks
    assert set(widths) == {0, 8, 6, 5}


@pytest.mark.parametrize(("name", "field"), [("accuracy", "pixel_accuracy"), ("mean IoU", "mean_iou")])
def test_the_lead_is_the_difference(effort, name, field):
    leads = "".join(effort_tables(effort).split(f"Segcode ahead of, in points of {name}")[1:])
    own, other = (getattr(effort.curve("pixels", method, "road")[0], field) for method in ("segcode", "pasted"))
    assert f"| road, pasted | {100 * (own - other):+.2f} [" in leads
    assert "| pasted |" in leads  # of clicks


def test_the_numbers_are_written_before_any_picture(effort, tmp_path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(effort_report, "pixel_curves", fail)
    with pytest.raises(MemoryError):
        write_effort(effort, tmp_path, "segcode effort", {})
    assert len(json.loads((tmp_path / "effort.json").read_text())["rows"]) == len(effort.rows)


def test_a_class_that_no_image_shows_has_no_rows(trained):
    config = EffortConfig(("tree",), (1,), clicks=1)
    assert measure_effort(trained, FewStreets(names=("a",)), [Pasted()], config).truths == ()


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
        EffortConfig(**numbers)


def test_what_does_not_fit_is_refused_before_any_measuring(trained):
    clicks = EffortConfig(clicks=1)
    with pytest.raises(ConfigError, match="two methods are called 'pasted'"):
        measure_effort(trained, FewStreets(), [Pasted(), Pasted()], clicks)
    with pytest.raises(ConfigError, match="'roads': did you mean 'road'"):
        measure_effort(trained, FewStreets(), [Pasted()], EffortConfig(("roads",)))
    other = ClassSet(("a", "b", "c", "d"), CLASSES.colours)
    with pytest.raises(DataError, match="the data has the classes a, b, c, d"):
        measure_effort(trained, FewStreets(classes=other), [Pasted()], clicks)
    with pytest.raises(DataError, match="'a' has no labels"):
        measure_effort(trained, FewStreets(labelled=False), [Pasted()], clicks)
