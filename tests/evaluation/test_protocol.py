from __future__ import annotations

import csv
import json
import subprocess

import numpy as np
import pytest
import torch
from noise import CLASSES, Noise
from PIL import Image as Pillow

from segcode.classes import ClassSet
from segcode.errors import ConfigError, DataError
from segcode.evaluation import report
from segcode.evaluation.figures import predictions, refinements
from segcode.evaluation.protocol import evaluate, one_side
from segcode.evaluation.report import write_report
from segcode.evaluation.tables import error_removed, table_1
from segcode.metrics import confusion_matrix, pixel_accuracy
from segcode.model.checkpoint import LoadedModel
from segcode.refinement import refiner
from segcode.refinement.config import RefinementConfig
from segcode.refinement.refiner import Refiner
from segcode.tensors import IGNORE

STRONG = RefinementConfig(evidence=200.0)


@pytest.fixture
def trained(tiny_model):
    return LoadedModel(tiny_model, CLASSES, "tests")


@pytest.fixture
def evaluation(trained):
    return evaluate(trained, Noise(), ["road", "tree"], STRONG, examples=2)


def test_zero_row_is_the_accuracy_over_all_pixels_of_the_data_set(trained, evaluation):
    refiner = Refiner(trained.model)
    matrix = torch.zeros(4, 4, dtype=torch.long)
    for i in range(3):
        sample = Noise()[i]
        prediction = refiner.set_image(sample.image).labels
        matrix += confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(sample.labels), 4)
    assert evaluation.row("zero").pixel_accuracy == pytest.approx(pixel_accuracy(matrix))


def unrevealed_share(evaluation, truth):
    return evaluation.row("zero", truth, "unrevealed").pixel_accuracy


def test_pasting_changes_only_what_was_revealed(evaluation):
    for truth in ("road", "tree"):
        pasted, zero = (evaluation.row(m, truth, "unrevealed") for m in ("pasted", "zero"))
        assert pasted.pixel_accuracy == zero.pixel_accuracy
        zero = evaluation.row("zero")
        told = int(np.sum([(Noise()[i].labels == CLASSES.index(truth)).sum() for i in range(3)]))
        known = int(np.sum([(Noise()[i].labels != IGNORE).sum() for i in range(3)]))
        right = told + unrevealed_share(evaluation, truth) * (known - told)
        assert evaluation.row("pasted", truth).pixel_accuracy == pytest.approx(right / known)
        assert evaluation.row("pasted", truth).pixel_accuracy >= zero.pixel_accuracy


def test_truth_stands_in_the_output_that_was_pasted(evaluation):
    for truth in ("road", "tree"):
        plain, pasted = (evaluation.row(m, truth) for m in ("optimised", "optimised+pasted"))
        assert pasted.pixel_accuracy >= plain.pixel_accuracy
        unrevealed = (evaluation.row(m, truth, "unrevealed").pixel_accuracy for m in ("optimised", "optimised+pasted"))
        assert len(set(unrevealed)) == 1


def test_every_method_truth_and_set_of_pixels_has_one_row(evaluation):
    keys = [(r.method, r.truth, r.pixels) for r in evaluation.rows]
    assert len(keys) == len(set(keys)) == 2 + 2 * (4 + 6)
    assert evaluation.truths == ("road", "tree")


def test_a_complete_mask_tells_pasting_where_the_class_is_not(trained, evaluation):
    complete = evaluate(trained, Noise(), ["road"], STRONG, complete=True)
    for method in ("pasted", "optimised+pasted"):
        row = complete.row(method, "road")
        assert row.iou["road"] == 1
        assert row.pixel_accuracy >= evaluation.row("pasted", "road").pixel_accuracy
    assert complete.row("zero").pixel_accuracy == evaluation.row("zero").pixel_accuracy


def test_inferring_is_pasting_a_complete_mask_where_the_class_seems_to_be_told_as_a_whole(trained, monkeypatch):
    """And pasting alone where it does not."""
    complete = evaluate(trained, Noise(), ["road"], STRONG, complete=True).row("pasted", "road")
    for seems in (True, False):
        monkeypatch.setattr(refiner, "told_as_whole", lambda truth, small, zero, seems=seems: small.told[0] & seems)
        measured = evaluate(trained, Noise(), ["road"], STRONG)
        expected = complete if seems else measured.row("pasted", "road")
        assert measured.row("inferred+pasted", "road").pixel_accuracy == expected.pixel_accuracy


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_part_of_a_class_lies_on_one_side_of_a_line(share):
    mask = np.hypot(*np.indices((40, 60)) - 25) < 12
    side = one_side(mask, share, seed=3)
    assert side.sum() == round(share * mask.sum())
    assert not (side & ~mask).any()
    if 0 < share < 1:
        between = np.argwhere(mask & ~side).mean(0) - np.argwhere(side).mean(0)
        told, rest = (np.argwhere(pixels) @ between for pixels in (side, mask & ~side))
        assert np.percentile(told, 95) < np.percentile(rest, 25)


def test_a_part_of_a_class_may_be_revealed(trained):
    half, all_of_it = (evaluate(trained, Noise(), ["road"], STRONG, part=part) for part in (0.5, 1.0))
    assert half.row("pasted", "road").pixel_accuracy < all_of_it.row("pasted", "road").pixel_accuracy
    with pytest.raises(ConfigError, match=r"0.5 of a class is not complete"):
        evaluate(trained, Noise(), ["road"], STRONG, complete=True, part=0.5)
    with pytest.raises(ConfigError, match="part of a class to reveal is 0"):
        evaluate(trained, Noise(), ["road"], STRONG, part=0.0)


def test_intervals_need_two_runs_of_images(trained):
    with pytest.raises(ConfigError, match="a block is 50"):
        evaluate(trained, Noise(), ["road"], STRONG, block=50)


def test_images_without_the_class_are_the_zero_code_prediction(trained):
    first = evaluate(trained, Noise(names=("a",)), ["tree"], STRONG)
    assert first.row("optimised", "tree").pixel_accuracy == first.row("zero").pixel_accuracy
    assert first.statuses == {"no_truth": 1}


@pytest.mark.parametrize("complete", [False, True])
def test_gains_are_those_of_the_rows(trained, complete):
    """Of complete masks pasting, too, changes pixels that are not revealed."""
    evaluation = evaluate(trained, Noise(), ["road", "tree"], STRONG, complete=complete)
    assert len(evaluation.gains) == 2
    for gain in evaluation.gains:
        pasted, optimised = (evaluation.row(m, gain.truth).pixel_accuracy for m in ("pasted", "optimised+pasted"))
        assert gain.accuracy.value == pytest.approx(optimised - pasted, abs=1e-6)
        assert gain.removed.value == pytest.approx(error_removed(pasted, optimised), abs=1e-5)
        hidden = [evaluation.row(m, gain.truth, "unrevealed").pixel_accuracy for m in ("pasted", "optimised+pasted")]
        assert gain.unrevealed.value == pytest.approx(hidden[1] - hidden[0], abs=1e-6)
        inferred = evaluation.row("inferred+pasted", gain.truth).pixel_accuracy
        assert gain.by_code.value == pytest.approx(error_removed(inferred, optimised), abs=1e-5)
        assert gain.accuracy.low <= gain.accuracy.value <= gain.accuracy.high


def test_the_report_has_every_table_and_picture(evaluation, tmp_path):
    write_report(evaluation, tmp_path, "segcode evaluate", {})
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["command"] == "segcode evaluate"
    assert {"commit", "versions", "seed", "settings"} <= set(results)
    assert len(results["rows"]) == len(evaluation.rows)
    assert set(results["rows"][0]) == {
        "method", "truth", "pixels", "pixel_accuracy", "mean_iou", "mean_iou_without_truth", "iou",
    }  # fmt: skip
    table = list(csv.reader((tmp_path / "table_1.csv").open()))
    assert table[1:] == [list(row) for row in table_1(evaluation)]
    assert (tmp_path / "table_1.md").read_text().count("\n") == len(table) + 1
    assert r"\bottomrule" in (tmp_path / "table_1.tex").read_text()
    for name in ("iou_matrix", "predictions", "refined_road", "refined_tree"):
        with Pillow.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 100
    assert [gain["truth"] for gain in results["gains"]] == ["road", "tree"]
    assert (tmp_path / "gains.md").read_text().count("\n") == 2 + 2
    assert not list(tmp_path.glob(".*"))


def test_the_numbers_are_written_before_any_picture(evaluation, tmp_path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(report, "iou_matrix", fail)
    monkeypatch.setattr(report, "table_1", fail)
    with pytest.raises(MemoryError):
        write_report(evaluation, tmp_path, "segcode evaluate", {})
    assert len(json.loads((tmp_path / "results.json").read_text())["rows"]) == len(evaluation.rows)


def test_any_class_name_makes_a_file_name_and_a_latex_cell(trained, tmp_path):
    odd = ClassSet(("road / path", "sky", "50 % car_&_van #1", "tree"), CLASSES.colours)
    measured = evaluate(
        LoadedModel(trained.model, odd, "tests"), Noise(odd), ["road / path", "50 % car_&_van #1"], STRONG
    )
    write_report(measured, tmp_path, "segcode evaluate", {})
    assert (tmp_path / "refined_road_path.png").is_file()
    assert (tmp_path / "refined_50_car___van_1.png").is_file()
    assert r"50 \% car\_\&\_van \#1 optimised &" in (tmp_path / "table_1.tex").read_text()


def test_every_panel_of_a_refinement_shows_the_uncertainty(evaluation):
    for figure in (predictions(evaluation), refinements(evaluation, "road")):
        assert "uncertainty b" in [axes.get_ylabel() for axes in figure.axes]


def test_the_commit_is_that_of_this_source_and_of_no_project_around_it(tmp_path, monkeypatch):
    def git(*arguments):
        options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        ran = subprocess.run(["git", "-C", tmp_path, *options, *arguments], capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    file = tmp_path / "site-packages" / "report.py"
    file.parent.mkdir()
    file.touch()
    monkeypatch.setattr(report, "__file__", str(file))
    git("init")
    git("commit", "--allow-empty", "-m", "a project")
    assert report._commit() is None
    git("add", ".")
    git("commit", "-m", "its own source")
    assert report._commit() == git("rev-parse", "HEAD")
    file.write_text("changed")
    assert report._commit() == git("rev-parse", "HEAD") + "+changes"


def test_error_removed_is_the_papers_for_its_numbers():
    assert error_removed(0.919, 0.924) == pytest.approx(0.062, abs=5e-4)
    assert error_removed(1.0, 1.0) is None


def test_a_model_of_other_classes_is_refused(trained):
    other = ClassSet(("a", "b", "c", "d"), CLASSES.colours)
    with pytest.raises(DataError, match="the data has the classes a, b, c, d"):
        evaluate(trained, Noise(classes=other), ["road"], STRONG)


def test_an_unknown_truth_names_the_nearest_class(trained):
    with pytest.raises(ConfigError, match="'roads': did you mean 'road'"):
        evaluate(trained, Noise(), ["roads"], STRONG)


def test_missing_labels_are_named(trained):
    with pytest.raises(DataError, match="'a' has no labels"):
        evaluate(trained, Noise(labelled=False), ["road"], STRONG)
