from __future__ import annotations

import numpy as np
import pytest
import torch
from noise import CLASSES, Noise

from segcode.errors import ConfigError
from segcode.evaluation.figures import examples_shown, iou_matrix
from segcode.evaluation.masks import (
    CODE,
    CODE_REPLACED,
    ENCODED,
    EXCLUDED,
    INITIAL,
    OPTIMISED,
    OPTIMISED_REPLACED,
    REPLACED,
    measure_masks,
)
from segcode.evaluation.tables import mask_tables
from segcode.metrics import confusion_matrix, pixel_accuracy
from segcode.refinement.config import CodeConfig
from segcode.refinement.refiner import Refiner
from segcode.tensors import IGNORE
from tiny import TINY, make_model


@pytest.fixture(scope="module")
def model():
    return make_model(TINY)


def measured(model, truths=("road", "tree"), source=None, **options):
    return measure_masks(Refiner(model), CLASSES, source or Noise(), model, truths, CodeConfig(), **options)


@pytest.fixture(scope="module")
def results(model):
    return measured(model, examples=2)


def one(results, method, truth=None, pixels="all"):
    (row,) = results.find(method=method, truth=truth, pixels=pixels)
    return row


def test_the_initial_row_is_the_accuracy_over_all_pixels_of_the_data_set(model, results):
    refiner = Refiner(model)
    matrix = torch.zeros(4, 4, dtype=torch.long)
    for sample in Noise():
        prediction = refiner.set_image(sample.image).labels
        matrix += confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(sample.labels), 4)
    assert one(results, INITIAL)["pixel_accuracy"] == pytest.approx(pixel_accuracy(matrix))


def test_every_method_truth_and_set_of_pixels_has_one_row(results):
    keys = {(row["method"], row["truth"], row["pixels"]) for row in results.rows}
    assert len(keys) == len(results.rows) == 2 + 2 * 2 * 6
    assert {row["method"] for row in results.rows if row["truth"] is None} == {INITIAL, ENCODED}


def test_replacing_makes_the_labelled_pixels_right_and_changes_no_other(results):
    initial = one(results, INITIAL)["pixel_accuracy"]
    known = sum(int((sample.labels != IGNORE).sum()) for sample in Noise())
    for truth in ("road", "tree"):
        labelled = sum(int((sample.labels == CLASSES.index(truth)).sum()) for sample in Noise())
        unlabelled = one(results, REPLACED, truth, "unlabelled")
        right = labelled + unlabelled["pixel_accuracy"] * (known - labelled)
        assert one(results, REPLACED, truth)["pixel_accuracy"] == pytest.approx(right / known)
        assert one(results, REPLACED, truth)["pixel_accuracy"] >= initial
        assert unlabelled["error_removed"] == 0


def test_an_exhaustive_mask_excludes_its_class_elsewhere(results):
    for method in (EXCLUDED, OPTIMISED_REPLACED, CODE_REPLACED):
        for truth in ("road", "tree"):
            assert one(results, method, truth)[f"iou {truth}"] == 1
    for truth in ("road", "tree"):
        assert one(results, EXCLUDED, truth)["pixel_accuracy"] >= one(results, REPLACED, truth)["pixel_accuracy"]


def test_a_part_excludes_nothing(model, results):
    part = measured(model, extent="part")
    for truth in ("road", "tree"):
        excluded, replaced = (one(part, method, truth)["pixel_accuracy"] for method in (EXCLUDED, REPLACED))
        assert excluded == replaced == one(results, REPLACED, truth)["pixel_accuracy"]
        assert {row["amount"] for row in part.find(truth=truth)} == {"part"}


@pytest.mark.parametrize(("plain", "replaced"), [(OPTIMISED, OPTIMISED_REPLACED), (CODE, CODE_REPLACED)])
def test_replacing_after_optimising_never_hurts(results, plain, replaced):
    for truth in ("road", "tree"):
        before, after = (one(results, method, truth)["pixel_accuracy"] for method in (plain, replaced))
        assert after >= before
        hidden = {one(results, method, truth, "unlabelled")["pixel_accuracy"] for method in (plain, replaced)}
        assert len(hidden) == 1


def test_the_code_explains_the_truth(results):
    """Optimising the code alone raises the IoU of a class above that of the initial prediction."""
    initial = one(results, INITIAL)
    assert any(one(results, CODE, truth)[f"iou {truth}"] > initial[f"iou {truth}"] for truth in ("road", "tree"))


def test_the_encoders_code_needs_all_labels(results):
    row = one(results, ENCODED)
    assert row["pixel_accuracy"] != one(results, INITIAL)["pixel_accuracy"]
    assert row["amount"] == "all pixels"


def test_a_segmenter_without_a_code_has_no_rows_of_it():
    def brightness(image):
        return np.stack([-np.abs(image[::4, ::4].mean(2) / 64 - index) for index in range(4)])

    results = measure_masks(Refiner(brightness), CLASSES, Noise(), None, ["road"], CodeConfig())
    methods = {row["method"] for row in results.rows}
    assert methods == {INITIAL, REPLACED, EXCLUDED, OPTIMISED, OPTIMISED_REPLACED}
    assert "encoder's code" not in [axes.get_ylabel() for axes in examples_shown(results, "road").axes]


def test_gains_are_those_of_the_rows(results):
    text = mask_tables(results)
    for truth in ("road", "tree"):
        for control in (REPLACED, EXCLUDED):
            before, after = (one(results, m, truth)["pixel_accuracy"] for m in (control, OPTIMISED_REPLACED))
            start = f"| {truth}, {OPTIMISED_REPLACED} against {control} |"
            (line,) = [line for line in text.splitlines() if line.startswith(start)]
            assert f"{start} {100 * (after - before):+.2f}" in line


def test_every_panel_shows_the_uncertainty(results):
    for truth in (None, "road"):
        figure = examples_shown(results, truth)
        names = [axes.get_ylabel() for axes in figure.axes]
        assert len(figure.axes) == 2 * len([name for name in names if name])
        assert {"image", "labels", "encoder's code", INITIAL, "chance that b changes the class"} <= set(names)


def test_the_iou_matrix_has_every_class_and_truth(results):
    texts = [text.get_text() for text in iou_matrix(results, CLASSES).axes[0].texts]
    assert len(texts) == (2 + 4) * (1 + 2)
    gain = one(results, OPTIMISED, "road")["iou road"] - one(results, INITIAL)["iou road"]
    assert any(f"({100 * gain:+.1f})" in text for text in texts)


def test_mistakes_are_refused_before_any_measuring(model):
    with pytest.raises(ConfigError, match="a block is 50"):
        measured(model, block=50)
    with pytest.raises(ConfigError, match="'roads': did you mean 'road'"):
        measured(model, ["roads"])
