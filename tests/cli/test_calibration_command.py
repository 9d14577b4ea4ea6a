import json

import pytest
from command_line import files_in, make_model_folder, segcode

from segcode.classes import CAMVID


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny", CAMVID)


@pytest.fixture
def streets(monkeypatch):
    """Two small streets as the split "val"."""
    from segcode.data import sources
    from segcode.streets import Streets

    small = Streets(count=2, seed=1, height=48, width=64)
    monkeypatch.setattr(sources, "_open_streets", lambda *arguments: small)


def calibration(model, out, *options):
    return segcode("calibration", "--data", "streets", "--model", model, "-o", out, *options)


def test_tables_pictures_and_results_are_written(model, streets, tmp_path):
    ran = calibration(model, tmp_path / "out", "--truth", "road", "--samples", 2, "--codes", 3, "--solver", "lbfgs")
    assert ran.code == 0, ran.err
    assert "| after road | not revealed by road | predictive |" in ran.out
    names = ("calibration", "error_detection", "samples", "swaps")
    others = {"calibration.json", "calibration.md", "reliability.png", "error_detection.png"}
    assert files_in(tmp_path / "out") == {f"{name}.csv" for name in names} | others
    results = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert results["images"] == 2
    assert (results["settings"]["samples"], results["settings"]["codes"]) == (2, 3)
    assert results["settings"]["refinement"]["solver"] == "lbfgs"


def test_without_truth_only_zero_code_is_measured(model, streets, tmp_path):
    calibration(model, tmp_path, "--samples", 2, "--codes", 1, "--only", "street_000000")
    results = json.loads((tmp_path / "calibration.json").read_text())
    assert [row["state"] for row in results["rows"]] == ["before"]
    assert results["images"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--truth", "roda"], "no class is called 'roda': did you mean 'road'?"),
        (["--samples", "1"], "greater than or equal to 2"),
    ],
)
def test_mistakes_are_named_with_their_cure(model, streets, tmp_path, options, message):
    ran = calibration(model, tmp_path / "out", *options)
    assert ran.code == 2
    assert message in " ".join(ran.err.split())
    assert not (tmp_path / "out").exists()


def test_help_teaches_and_shows_an_example():
    text = segcode("calibration", "--help").out
    assert "Example: segcode calibration" in text
    assert "AUROC is the chance" in " ".join(text.replace("│", " ").split())
