import csv
import json

import numpy as np
import pytest
from command_line import FOUR, files_in, make_model_folder, save, segcode, street

from segcode.evaluation import baselines
from segcode.evaluation.methods import Pasted
from segcode.model.segcode import SegCode


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "four")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two labelled images without sky, in the `folder` layout."""
    root = tmp_path_factory.mktemp("data")
    tables = (f'[[class]]\nname = "{n}"\ncolour = {list(c)}\n' for n, c in zip(FOUR.names, FOUR.colours, strict=True))
    (root / "classes.toml").write_text("".join(tables))
    for seed, name in enumerate(["a", "b"]):
        street(root / f"images/val/{name}.png", seed)
        labels = np.random.default_rng(seed).integers(0, 3, (5, 6), np.uint8).repeat(8, 0).repeat(10, 1)
        save(root / f"labels/val/{name}.png", labels)
    return root


def effort(root, model, out, *options):
    return segcode("effort", "--data", "folder", "--root", root, "--model", model, "-o", out, *options)


def results(out):
    return json.loads((out / "effort.json").read_text())


def test_tables_pictures_and_results_are_written(root, model, tmp_path):
    ran = effort(root, model, tmp_path / "out", "--truth", "road", "--truth", "sky", "--clicks", 2)
    assert ran.code == 0, ran.err
    assert "| road, segcode |" in ran.out
    assert "No image shows any 'sky'" in ran.err
    names = {"effort.json", "effort.csv", "effort.md", "effort_pixels.png", "effort_clicks.png"}
    assert files_in(tmp_path / "out") == names
    written = results(tmp_path / "out")
    assert written["images"] == 2
    assert written["command"].startswith("segcode ")
    assert written["settings"]["effort"]["amounts"] == [1, 5, 20, 100, 500]
    assert written["settings"]["refinement"]["energy"] == "cross_entropy"
    amounts = {row["amount"] for row in written["rows"] if row["protocol"] == "pixels"}
    assert amounts == {1, 5, 20, 100, 500, "whole class"}
    assert len(list(csv.reader((tmp_path / "out" / "effort.csv").open()))) == 1 + len(written["rows"])


def test_amounts_clicks_and_samples_are_chosen(root, model, tmp_path):
    ran = effort(
        root, model, tmp_path, "--truth", "road", "--amount", 3, "--amount", 7, "--clicks", 0, "--only", "a"
    )  # fmt: skip
    assert ran.code == 0, ran.err
    written = results(tmp_path)
    assert written["images"] == 1
    assert {row["protocol"] for row in written["rows"]} == {"pixels"}
    assert {row["amount"] for row in written["rows"]} == {3, 7, "whole class"}
    assert not (tmp_path / "effort_clicks.png").exists()


def test_radius_jitter_and_seed_reach_the_annotator(root, model, tmp_path):
    def accuracies(*options):
        out = tmp_path / "_".join(map(str, options))
        assert effort(root, model, out, "--clicks", 2, "--only", "a", *options).code == 0
        return [row["pixel_accuracy"] for row in results(out)["rows"] if row["method"] == "pasted"]

    usual = accuracies("--jitter", 0)
    assert accuracies("--jitter", 0, "--seed", 1) == usual
    assert accuracies("--jitter", 0, "--radius", 6) != usual
    assert accuracies("--jitter", 9) != accuracies("--jitter", 9, "--seed", 1)


def test_rivals_are_measured_beside_the_others(root, model, tmp_path, monkeypatch):
    class Rival(Pasted):
        name = "rival"

    def load(folder, model):
        assert (folder, type(model)) == (tmp_path / "rivals", SegCode)
        return [Rival()]

    monkeypatch.setattr(baselines, "load_rivals", load)
    ran = effort(root, model, tmp_path / "out", "--rivals", tmp_path / "rivals", "--clicks", 1, "--only", "a")
    assert ran.code == 0, ran.err
    methods = {row["method"] for row in results(tmp_path / "out")["rows"]}
    assert methods == {"pasted", "pasted, inferred", "segcode", "segcode, proposal alone", "rival"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--truth", "roda"], "no class is called 'roda': did you mean 'road'?"),
        (["--clicks", "0"], "no truth and no clicks"),
        (["--split", "vla"], "did you mean 'val'?"),
    ],
)
def test_mistakes_are_named_with_their_cure(root, model, tmp_path, options, message):
    ran = effort(root, model, tmp_path / "out", *options)
    assert ran.code == 2
    assert message in " ".join(ran.err.split())
    assert not (tmp_path / "out").exists()


def test_help_shows_an_example_and_says_what_the_methods_are():
    text = " ".join(segcode("effort", "--help").out.split())
    assert "Example: segcode effort" in text
    assert "pasting (the truth replaces the prediction" in text
