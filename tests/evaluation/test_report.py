from __future__ import annotations

import csv
import json
import subprocess

import numpy as np
import pytest
from noise import CLASSES
from PIL import Image as Pillow

from segcode.evaluation import report
from segcode.evaluation.images import LabelledImage, map_of
from segcode.evaluation.report import markdown, number, percent, write_report
from segcode.evaluation.results import Results, Subject, Tally
from segcode.tensors import IGNORE
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth

SIZE = (10, 20)


@pytest.fixture
def image():
    """All of it is road but for a void row; the initial prediction has sky in its left half."""
    labels = np.zeros(SIZE, np.uint8)
    labels[0] = IGNORE
    logits = np.zeros((4, *SIZE), np.float32)
    logits[0, :, 10:] = logits[1, :, :10] = 1.0
    pixels = np.zeros((*SIZE, 3), np.uint8)
    return LabelledImage("a", pixels, labels, map_of(logits, Truth.empty(SIZE, 4), pixels), CLASSES)


@pytest.fixture
def rows(image):
    tally = Tally(CLASSES)
    mask = np.zeros(SIZE, bool)
    mask[1:, :5] = True
    truth = mask_truth(mask, 0, 4)
    half_right = image.initial.labels.copy()
    half_right[:, 5:8] = 0
    tally.add(Subject("clicks", "segcode", None, 1), image, half_right, truth, 0.5, attainable=90)
    return tally.rows()


def test_scores_count_known_pixels_alone(rows):
    everywhere, unlabelled = rows
    assert everywhere["pixel_accuracy"] == pytest.approx(13 / 20)
    assert unlabelled["pixel_accuracy"] == pytest.approx(13 / 15)
    assert unlabelled["pixels"] == "unlabelled"


def test_error_removed_is_relative_to_the_initial_prediction_and_to_pasting(rows):
    everywhere, unlabelled = rows
    assert everywhere["error_removed"] == pytest.approx(0.3)
    assert everywhere["error_removed_after_pasting"] == pytest.approx(-0.4)
    assert unlabelled["error_removed"] == unlabelled["error_removed_after_pasting"] == pytest.approx(0.6)


def test_click_efficiency_is_relative_to_the_largest_wrong_regions(rows):
    assert rows[0]["click_efficiency"] == pytest.approx(27 / 90)


def test_an_image_below_pasting_is_counted(rows):
    assert [row["images_below_pasting"] for row in rows] == [1, 0]


def test_the_report_has_the_same_rows_as_json_and_csv(rows, tmp_path):
    results = Results((*rows, {"protocol": "click", "harmful_clicks": None}), 1, {})
    write_report(results, tmp_path / "out", "segcode clicks", {"model": "tiny"}, "a table", {})
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {"command", "commit", "versions", "settings", "images", "rows"} <= set(written)
    assert written["rows"] == json.loads(json.dumps(results.rows))
    table = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert [row["pixel_accuracy"] for row in table] == [*(str(row["pixel_accuracy"]) for row in rows), ""]
    assert (tmp_path / "out" / "tables.md").read_text() == "a table"
    assert not list((tmp_path / "out").glob(".*"))


def test_the_numbers_are_written_before_any_picture(rows, tmp_path):
    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        write_report(Results(tuple(rows), 1, {}), tmp_path, "", {}, "", {"figure": fail})
    assert len(json.loads((tmp_path / "results.json").read_text())["rows"]) == len(rows)


def test_figures_are_pictures(tmp_path):
    from matplotlib.figure import Figure

    write_report(Results((), 0, {}), tmp_path, "", {}, "", {"figure": Figure})
    with Pillow.open(tmp_path / "figure.png") as picture:
        assert min(picture.size) > 100


def test_a_table_has_a_dash_for_an_undefined_score():
    assert percent(None) == number(None) == "-"
    assert markdown(["a", "b"], [["x", percent(0.5)]]) == "| a | b |\n| --- | ---: |\n| x | 50.00 |\n"


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
