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
    monkeypatch.setattr(sources, "open_source", lambda *arguments: small)


def calibration(model, out, *options):
    return segcode("calibration", "--data", "streets", "--model", model, "-o", out, *options)


def test_tables_pictures_and_results_are_written(model, streets, tmp_path):
    ran = calibration(model, tmp_path / "out", "--truth", "road", "--clicks", 1, "--draws", 3)
    assert ran.code == 0, ran.err
    assert "| after exhaustive road, draws | unlabelled |" in ran.out
    assert files_in(tmp_path / "out") == {"results.json", "results.csv", "tables.md", "reliability.png"}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["images"] == 2
    assert (results["settings"]["draws"], results["settings"]["clicks"]) == (3, 1)


def test_clicks_alone_are_measured_without_truth(model, streets, tmp_path):
    calibration(model, tmp_path, "--draws", 2, "--clicks", 2, "--only", "street_000000")
    results = json.loads((tmp_path / "results.json").read_text())
    assert {(row["protocol"], row["amount"]) for row in results["rows"]} == {("before", 0), ("before", 2), ("after", 2)}
    assert results["images"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--truth", "roda"], "no class is called 'roda': did you mean 'road'?"),
        (["--draws", "1"], "2"),
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
