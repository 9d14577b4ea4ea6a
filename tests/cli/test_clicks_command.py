import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from command_line import FOUR, files_in, make_model_folder, save, segcode, street

from segcode.field.constants import load_constants


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


def clicks(root, model, out, *options):
    return segcode("clicks", "--data", "folder", "--root", root, "--model", model, "-o", out, *options)


def results(out):
    return json.loads((out / "results.json").read_text())


def test_tables_pictures_and_results_are_written(root, model, tmp_path):
    ran = clicks(root, model, tmp_path / "out", "--truth", "road", "--truth", "sky", "--clicks", 2)
    assert ran.code == 0, ran.err
    assert "| road, segcode |" in ran.out
    assert "No image shows any 'sky'" in ran.err
    assert files_in(tmp_path / "out") == {"results.json", "results.csv", "tables.md", "clicks.png", "pixels.png"}
    written = results(tmp_path / "out")
    assert written["images"] == 2
    assert written["command"].startswith("segcode ")
    assert written["settings"]["amounts"] == [1, 5, 20, 100, 500]
    assert written["settings"]["constants"]["pull"] > 0
    assert {row["protocol"] for row in written["rows"]} == {"clicks", "click", "pixels", "mask"}
    assert len(list(csv.reader((tmp_path / "out" / "results.csv").open()))) == 1 + len(written["rows"])


def test_amounts_clicks_and_samples_are_chosen(root, model, tmp_path):
    options = ("--truth", "road", "--amount", 3, "--amount", 7, "--clicks", 0, "--only", "a")
    ran = clicks(root, model, tmp_path, *options)
    assert ran.code == 0, ran.err
    written = results(tmp_path)
    assert written["images"] == 1
    assert {(row["protocol"], row["amount"]) for row in written["rows"]} == {
        ("pixels", 3),
        ("pixels", 7),
        ("mask", "exhaustive"),
    }
    assert not (tmp_path / "clicks.png").exists()


def test_radius_jitter_and_seed_reach_the_annotator(root, model, tmp_path):
    def accuracies(*options):
        out = tmp_path / "_".join(map(str, options))
        assert clicks(root, model, out, "--clicks", 2, "--only", "a", *options).code == 0
        return [
            row["pixel_accuracy"]
            for row in results(out)["rows"]
            if (row["protocol"], row["method"]) == ("clicks", "pasted")
        ]

    usual = accuracies("--jitter", 0)
    assert accuracies("--jitter", 0, "--seed", 1) == usual
    assert accuracies("--jitter", 0, "--radius", 6) != usual
    assert accuracies("--jitter", 9) != accuracies("--jitter", 9, "--seed", 1)


def test_constants_reach_the_refinement(root, model, tmp_path):
    file = tmp_path / "constants.json"
    replace(load_constants(), label_weight=1e-9).save(file)
    assert clicks(root, model, tmp_path / "out", "--clicks", 1, "--constants", file).code == 0
    removed = [row["error_removed_after_pasting"] for row in results(tmp_path / "out")["rows"] if row.get("images")]
    assert removed == pytest.approx([0] * len(removed), abs=1e-3)


def test_a_function_is_measured_in_place_of_a_model(root, tmp_path, monkeypatch):
    (tmp_path / "brightness.py").write_text(
        "import numpy as np\n\ndef logits(image):\n"
        "    return np.stack([-abs(image[::4, ::4].mean(2) / 64 - index) for index in range(4)])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    command = ("clicks", "--data", "folder", "--root", root, "--clicks", 1, "-o", "out")
    ran = segcode(*command, "--segmenter", "python:brightness.logits")
    assert ran.code == 0, ran.err
    assert results(tmp_path / "out")["settings"]["model"] == "python:brightness.logits"
    for name, message in (
        ("brightness.logits", "are KIND:WHERE, as python:my_module.logits"),
        ("python:dark.logits", "there is no module 'dark'"),
        ("python:brightness.scores", "'brightness' has no 'scores'"),
    ):
        ran = segcode(*command, "--segmenter", name)
        assert (ran.code, message in ran.err) == (2, True)
    ran = segcode(*command, "--segmenter", "python:brightness.logits", "--rivals", "rivals")
    assert "give --model in place of --segmenter" in ran.err


def test_rivals_are_tuned_and_measured_beside_the_others(root, model, tmp_path):
    from segcode.evaluation.baselines.heads import Heads, HeadsConfig, save_heads
    from segcode.model.checkpoint import load_model

    loaded = load_model(str(model)).model
    save_heads(tmp_path / "rivals", Heads(loaded, HeadsConfig(hidden=4)), loaded)
    options = ("--rivals", tmp_path / "rivals", "--tune-rivals", "--clicks", 1, "--only", "a")
    ran = clicks(root, model, tmp_path / "out", *options)
    assert ran.code == 0, ran.err
    methods = {row["method"] for row in results(tmp_path / "out")["rows"]}
    assert methods >= {"pasted", "segcode", "f-BRS", "SSN", "probabilistic U-Net, z optimised"}
    assert (tmp_path / "rivals" / "constants.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--truth", "roda"], "no class is called 'roda': did you mean 'road'?"),
        (["--clicks", "0"], "no truth and no clicks"),
        (["--split", "vla"], "did you mean 'val'?"),
        (["--segmenter", "python:a.b"], "--model and --segmenter: give one of them"),
    ],
)
def test_mistakes_are_named_with_their_cure(root, model, tmp_path, options, message):
    ran = clicks(root, model, tmp_path / "out", *options)
    assert ran.code == 2
    assert message in " ".join(ran.err.split())
    assert not (tmp_path / "out").exists()


def test_without_model_and_segmenter_the_shipped_models_are_listed(root, tmp_path):
    ran = segcode("clicks", "--data", "folder", "--root", root, "-o", tmp_path / "out")
    assert (ran.code, "no model is named" in ran.err) == (2, True)


def test_help_shows_an_example_and_says_what_is_measured():
    text = " ".join(segcode("clicks", "--help").out.split())
    assert "Example: segcode clicks" in text
    assert "Click efficiency is the accuracy gained" in text
