from __future__ import annotations

import numpy as np
import pytest
import torch
from noise import CLASSES, Noise
from torchmetrics.functional.classification import multiclass_calibration_error

from segcode.errors import ConfigError
from segcode.evaluation.calibration import BINS, measure_calibration, reliability
from segcode.evaluation.clicks import ClickConfig
from segcode.evaluation.figures import reliability_diagram
from segcode.evaluation.tables import calibration_tables
from segcode.refinement.refiner import Refiner
from segcode.tensors import IGNORE
from tiny import TINY, make_model

CONFIG = ClickConfig(clicks=2, truths=("road", "tree"))


@pytest.fixture(scope="module")
def refiner():
    return Refiner(make_model(TINY))


@pytest.fixture(scope="module")
def results(refiner):
    return measure_calibration(refiner, CLASSES, Noise(), CONFIG, draws=3)


def one(results, protocol, method, truth, amount):
    (row,) = results.find(protocol=protocol, method=method, truth=truth, amount=amount)
    return row


def test_before_and_after_are_measured_at_the_same_pixels(results):
    after = [row for row in results.rows if row["protocol"] == "after"]
    assert len(after) == 5 * 3
    for row in after:
        before = one(results, "before", row["method"], row["truth"], row["amount"])
        assert (before["images"], before["pixels"]) == (row["images"], "unlabelled")


def test_images_without_the_class_of_a_mask_are_left_out(results):
    assert {row["images"] for row in results.rows if row["truth"] == "tree"} == {2}


def test_scores_are_the_textbooks(refiner, results):
    probabilities, labels = [], []
    for sample in Noise():
        known = sample.labels != IGNORE
        probabilities.append(refiner.set_image(sample.image).probabilities()[:, known].T)
        labels.append(sample.labels[known])
    p, y = np.concatenate(probabilities), np.concatenate(labels)
    row = one(results, "before", "mode", None, 0)
    assert row["accuracy"] == pytest.approx((p.argmax(1) == y).mean())
    assert row["nll"] == pytest.approx(-np.log(p[np.arange(len(y)), y]).mean(), rel=1e-4)
    assert row["brier"] == pytest.approx(((p - np.eye(4)[y]) ** 2).sum(1).mean(), rel=1e-4)
    reference = multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(y).long(), 4, BINS)
    assert row["ece"] == pytest.approx(float(reference), abs=1e-5)
    pixels = np.random.default_rng(0).choice(len(y), 300, replace=False)
    wrong = p.argmax(1)[pixels] != y[pixels]
    entropy = -(p[pixels] * np.log(p[pixels])).sum(1)
    greater = entropy[wrong][:, None] > entropy[~wrong]
    assert row["auroc"] == pytest.approx(greater.mean(), abs=0.1)


def test_scores_for_errors_are_no_probabilities(results):
    for method in ("mutual information", "learnt b", "b beside the logits"):
        row = one(results, "after", method, None, 2)
        assert row["ece"] is row["nll"] is row["brier"] is row["accuracy"] is None
        assert 0 <= row["auroc"] <= 1


def test_labels_change_the_probabilities_of_other_pixels(results):
    before, after = (one(results, state, "mode", "road", "exhaustive") for state in ("before", "after"))
    assert before["nll"] != after["nll"]


def test_probabilities_that_labels_are_drawn_from_lie_on_the_diagonal():
    draw = np.random.default_rng(0)
    confidence = draw.uniform(0.3, 1.0, 200_000)
    curve = reliability(confidence, (draw.random(len(confidence)) < confidence).astype(float))
    assert curve.accuracy == pytest.approx(curve.confidence, abs=0.02)
    assert curve.share.sum() == pytest.approx(1)


def test_tables_and_the_diagram_have_every_state(results):
    text = calibration_tables(results)
    row = one(results, "after", "draws", None, 2)
    assert f"| after 2 clicks, draws | unlabelled | {100 * row['accuracy']:.2f} | {100 * row['ece']:.2f} |" in text
    assert [axes.get_title() for axes in reliability_diagram(results).axes] == [
        "0 clicks",
        "2 clicks",
        "exhaustive road",
        "exhaustive tree",
    ]


def test_an_unknown_truth_names_the_nearest_class(refiner):
    with pytest.raises(ConfigError, match="'roads': did you mean 'road'"):
        measure_calibration(refiner, CLASSES, Noise(), ClickConfig(truths=("roads",)))
