from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from noise import CLASSES, Noise
from PIL import Image as Pillow

from segcode.classes import ClassSet
from segcode.errors import ConfigError, DataError
from segcode.evaluation import calibration_report
from segcode.evaluation.calibration import DOUBTS, measure_calibration
from segcode.evaluation.calibration_report import summary, tables, write_calibration
from segcode.evaluation.diversity import diversity
from segcode.evaluation.error_detection import auroc, average_precision, detection, pavpu, roc, score_histogram
from segcode.evaluation.reliability import reliability
from segcode.model.checkpoint import LoadedModel
from segcode.refinement.config import RefinementConfig
from segcode.refinement.refiner import Refiner
from segcode.tensors import IGNORE

STRONG = RefinementConfig(evidence=20.0)


def known(labels):
    return int((labels != IGNORE).sum())


@pytest.fixture
def trained(tiny_model):
    return LoadedModel(tiny_model, CLASSES, "tests")


@pytest.fixture
def calibration(trained):
    return measure_calibration(trained, Noise(), ["road", "tree"], STRONG, samples=3, codes=4)


def drawn(count, sharpen=1.0):
    """Probabilities, and labels drawn from them; then those probabilities made too sharp."""
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(4, count)) * 2
    softmax = [np.exp(scale * logits) / np.exp(scale * logits).sum(0) for scale in (1.0, sharpen)]
    labels = (draw.random(count) > softmax[0].cumsum(0)).sum(0).clip(max=3)
    return softmax[1].astype(np.float32), labels


def test_probabilities_that_labels_are_drawn_from_have_no_calibration_error():
    assert reliability(*drawn(200_000)).scores().ece < 0.005


def test_calibration_error_is_the_gap_of_one_that_is_always_too_sure():
    probabilities = np.full((4, 1000), 0.1 / 3, np.float32)
    probabilities[2] = 0.9
    labels = np.where(np.arange(1000) < 650, 2, 1)
    scores = reliability(probabilities, labels).scores()
    assert scores.accuracy == 0.65
    assert scores.ece == pytest.approx(0.25, abs=1e-6)


def test_sharpening_worsens_every_score_but_accuracy():
    honest, sharp = (reliability(*drawn(20_000, scale)).scores() for scale in (1.0, 3.0))
    assert honest.accuracy == sharp.accuracy
    assert sharp.ece > honest.ece + 0.05
    assert sharp.nll > honest.nll
    assert sharp.brier > honest.brier


def test_nll_and_brier_are_those_computed_by_hand():
    probabilities = np.array([[0.5, 0.1], [0.25, 0.9], [0.25, 0.0]], np.float32)
    scores = reliability(probabilities, np.array([0, 0])).scores()
    assert scores.nll == pytest.approx((np.log(2) + np.log(10)) / 2, rel=1e-6)
    assert scores.brier == pytest.approx(((0.25 + 2 * 0.0625) + (0.81 + 0.81)) / 2, rel=1e-6)


def test_a_class_held_impossible_costs_much_but_no_infinity():
    assert 80 < reliability(np.array([[1.0], [0.0]], np.float32), np.array([1])).scores().nll < 90


def test_sums_of_parts_are_those_of_the_whole():
    probabilities, labels = drawn(1000, 2.0)
    parts = reliability(probabilities[:, :300], labels[:300]) + reliability(probabilities[:, 300:], labels[300:])
    whole = reliability(probabilities, labels).scores()
    for name in ("accuracy", "ece", "nll", "brier"):
        assert getattr(parts.scores(), name) == pytest.approx(getattr(whole, name))
    assert sum(whole.bin_share) == pytest.approx(1)


def test_no_pixel_has_no_score():
    scores = reliability(np.zeros((4, 0), np.float32), np.zeros(0, np.uint8)).scores()
    assert (scores.accuracy, scores.ece, scores.nll, scores.brier) == (None,) * 4
    assert set(scores.bin_accuracy) == {None}


# Powers of ten are bins apart, so that the histogram loses nothing.
PIXELS = st.lists(st.tuples(st.integers(-6, 2), st.booleans()), min_size=2, max_size=40)


@given(PIXELS)
def test_auroc_is_the_rank_statistic(pixels):
    score, wrong = np.array([10.0**e for e, _ in pixels]), np.array([w for _, w in pixels])
    pairs = np.sign(score[wrong][:, None] - score[~wrong][None]) / 2 + 0.5
    expected = pairs.mean() if pairs.size else None
    assert auroc(score_histogram(score, wrong)) == (None if expected is None else pytest.approx(expected))


@given(PIXELS)
def test_average_precision_is_the_mean_precision_at_the_wrong_pixels(pixels):
    score, wrong = np.array([10.0**e for e, _ in pixels]), np.array([w for _, w in pixels])
    found = average_precision(score_histogram(score, wrong))
    if wrong.all() or not wrong.any():
        assert found is None
    else:
        assert found == pytest.approx(np.mean([wrong[score >= s].mean() for s in score[wrong]]))


def test_fine_bins_hardly_change_the_auroc_of_continuous_scores():
    draw = np.random.default_rng(0)
    wrong = draw.random(2000) < 0.2
    score = draw.gamma(np.where(wrong, 2.0, 1.0)).astype(np.float32)
    exact = (score[wrong][:, None] > score[~wrong][None]).mean()
    assert auroc(score_histogram(score, wrong)) == pytest.approx(exact, abs=1e-4)


def test_a_score_that_is_the_error_finds_it_all():
    wrong = np.arange(10) < 3
    found = detection(score_histogram(wrong.astype(float), wrong))
    assert (found.auroc, found.aupr, found.pavpu) == (1, 1, 1)
    assert found.roc[0] == 1
    assert detection(score_histogram((~wrong).astype(float), wrong)).auroc == 0


def test_a_score_that_says_nothing_is_a_guess():
    wrong = np.arange(10) < 3
    flat = score_histogram(np.full(10, 0.2), wrong)
    assert auroc(flat) == pytest.approx(0.5)
    assert average_precision(flat) == pytest.approx(0.3)
    assert roc(flat) == pytest.approx(np.linspace(0, 1, 101))
    assert pavpu(flat) == pytest.approx(0.3 * 0.3 + 0.7 * 0.7)


@pytest.mark.parametrize("score", [0.0, 1e-30, 1e30, np.inf])
def test_scores_beyond_the_bins_are_counted(score):
    assert score_histogram(np.array([score]), np.array([True])).sum() == 1


def test_samples_cover_and_vary_as_counted_by_hand():
    labels = np.array([0, 0, 1, 1, 2])
    prediction = np.array([0, 0, 0, 0, 3])
    samples = [np.array([0, 1, 1, 0, 3]), np.array([0, 0, 1, 0, 1])]
    scores = diversity(samples, prediction, labels, 4).scores(CLASSES)
    assert scores.disagreement == pytest.approx(2 / 5)
    assert (scores.accuracy, scores.mean_accuracy, scores.best_accuracy) == pytest.approx((0.4, 0.5, 0.6))
    assert scores.coverage == pytest.approx(1 / 3)
    assert scores.wrong_varied == pytest.approx(2 / 3)
    assert scores.right_varied == pytest.approx(1 / 2)
    assert [swap.classes for swap in scores.swaps] == [("road", "sky"), ("sky", "tree")]
    assert [swap.share for swap in scores.swaps] == pytest.approx([0.75, 0.25])


def test_samples_equal_to_the_map_swap_and_cover_nothing():
    labels = np.array([0, 1, 2])
    same = np.array([0, 1, 3])
    scores = diversity([same, same], same, labels, 4).scores(CLASSES)
    assert (scores.disagreement, scores.coverage, scores.wrong_varied, scores.right_varied) == (0, 0, 0, 0)
    assert scores.swaps == ()
    assert scores.best_accuracy == scores.mean_accuracy == scores.accuracy == pytest.approx(2 / 3)


def test_the_best_sample_is_chosen_for_each_image():
    right, wrong = np.zeros(4, int), np.ones(4, int)
    first = diversity([right, wrong], wrong, right, 4)
    second = diversity([wrong, right], wrong, right, 4)
    scores = (first + second).scores(CLASSES)
    assert (scores.best_accuracy, scores.mean_accuracy) == (1, 0.5)


def test_before_and_after_are_judged_on_the_pixels_that_the_truth_leaves_out(calibration):
    labels = [Noise()[i].labels for i in range(3)]
    assert calibration.row("before").count == sum(map(known, labels))
    for truth in ("road", "tree"):
        unrevealed = sum(known(x) - int((x == CLASSES.index(truth)).sum()) for x in labels)
        assert {calibration.row(state, truth).count for state in ("before", "after")} == {unrevealed}


def test_accuracy_before_is_that_of_the_maps_that_users_get(trained, calibration):
    refiner = Refiner(trained.model)
    samples = [Noise()[i] for i in range(3)]
    right = sum(int((refiner.set_image(s.image).labels == s.labels).sum()) for s in samples)
    expected = right / sum(known(s.labels) for s in samples)
    row = calibration.row("before")
    assert row.samples.accuracy == pytest.approx(expected)
    assert row.map.accuracy == pytest.approx(expected, abs=1e-3)  # ties between classes may fall either way


def test_refinement_changes_what_is_measured_and_not_b(calibration):
    before, after = (calibration.row(state, "road") for state in ("before", "after"))
    assert before.map.nll != after.map.nll
    assert before.samples.disagreement > after.samples.disagreement  # truth narrows the codes
    assert set(after.detection) == set(DOUBTS)


def test_an_image_without_the_class_stays_as_it_was(trained):
    measured = measure_calibration(trained, Noise(names=("a",)), ["tree"], STRONG, samples=2, codes=2)
    assert measured.statuses == {"no_truth": 1}
    before, after = measured.row("before", "tree"), measured.row("after", "tree")
    assert after.map == before.map
    assert after.samples.disagreement == pytest.approx(before.samples.disagreement, abs=1e-3)


def test_a_model_without_a_code_that_matters_has_samples_that_agree(tiny_model):
    with torch.no_grad():
        tiny_model.decoder.grid.weight.zero_()
    row = measure_calibration(LoadedModel(tiny_model, CLASSES, "tests"), Noise(), [], STRONG, samples=2, codes=2).row(
        "before"
    )
    assert row.samples.disagreement == row.samples.coverage == row.samples.right_varied == 0
    assert row.samples.best_accuracy == row.samples.accuracy


def test_the_report_has_every_table_and_picture(calibration, tmp_path):
    write_calibration(calibration, tmp_path, "segcode calibration", {"samples": 3})
    results = json.loads((tmp_path / "calibration.json").read_text(), parse_constant=pytest.fail)
    assert {"command", "commit", "versions", "settings", "images", "solver_statuses", "rows"} <= set(results)
    assert [(r["state"], r["truth"], r["pixels"]) for r in results["rows"]] == [
        ("before", None, "all"),
        ("before", "road", "unrevealed"),
        ("after", "road", "unrevealed"),
        ("before", "tree", "unrevealed"),
        ("after", "tree", "unrevealed"),
    ]
    for name, (header, rows) in tables(calibration).items():
        assert list(csv.reader((tmp_path / f"{name}.csv").open())) == [list(header), *map(list, rows)]
        assert {len(row) for row in rows} == {len(header)}
    assert (tmp_path / "calibration.md").read_text() == summary(calibration)
    for name in ("reliability", "error_detection"):
        with Pillow.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 100
    assert not list(tmp_path.glob(".*"))


def test_the_numbers_are_written_before_any_picture(calibration, tmp_path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(calibration_report, "reliability_diagram", fail)
    with pytest.raises(MemoryError):
        write_calibration(calibration, tmp_path, "segcode calibration", {})
    assert len(json.loads((tmp_path / "calibration.json").read_text())["rows"]) == len(calibration.rows)


def test_a_set_of_pixels_that_is_empty_is_reported_as_unknown(calibration, tmp_path):
    nothing = reliability(np.zeros((4, 0), np.float32), np.zeros(0, np.uint8)).scores()
    none = detection(score_histogram(np.zeros(0), np.zeros(0, bool)))
    empty = np.zeros(0, np.uint8)
    rows = tuple(
        replace(
            row,
            count=0,
            map=nothing,
            predictive=nothing,
            detection=dict.fromkeys(DOUBTS, none),
            samples=diversity([empty, empty], empty, empty, 4).scores(CLASSES),
        )
        for row in calibration.rows
    )
    write_calibration(replace(calibration, rows=rows), tmp_path, "segcode calibration", {})
    assert "| before | all pixels | map | - | - | - | - |" in (tmp_path / "calibration.md").read_text()


def test_what_does_not_fit_is_refused(trained):
    other = ClassSet(("a", "b", "c", "d"), CLASSES.colours)
    with pytest.raises(DataError, match="the data has the classes a, b, c, d"):
        measure_calibration(trained, Noise(classes=other), ["road"], STRONG)
    with pytest.raises(ConfigError, match="'roads': did you mean 'road'"):
        measure_calibration(trained, Noise(), ["roads"], STRONG)
    with pytest.raises(DataError, match="'a' has no labels"):
        measure_calibration(trained, Noise(labelled=False), ["road"], STRONG)
