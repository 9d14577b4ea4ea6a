import json

import numpy as np
import pytest
from command_line import FOUR, files_in, make_model_folder, save, segcode, street


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "four")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Four labelled images of two sequences, in the `folder` layout."""
    root = tmp_path_factory.mktemp("data")
    tables = (f'[[class]]\nname = "{n}"\ncolour = {list(c)}\n' for n, c in zip(FOUR.names, FOUR.colours, strict=True))
    (root / "classes.toml").write_text("".join(tables))
    for seed, name in enumerate(["a_1", "a_2", "b_1", "b_2"]):
        street(root / f"images/val/{name}.png", seed)
        labels = np.random.default_rng(seed).integers(0, 4, (5, 6), np.uint8).repeat(8, 0).repeat(10, 1)
        save(root / f"labels/val/{name}.png", labels)
    return root


def evaluate(root, model, out, *options):
    return segcode("evaluate", "--data", "folder", "--root", root, "--model", model, "-o", out, *options)


def test_tables_pictures_and_results_are_written(root, model, tmp_path):
    ran = evaluate(root, model, tmp_path / "out", "--truth", "road", "--truth", "car")
    assert ran.code == 0, ran.err
    assert "| road optimised |" in ran.out
    tables = {"table_1.md", "table_1.csv", "table_1.tex", "gains.md", "results.json"}
    pictures = {"iou_matrix.png", "predictions.png", "refined_road.png", "refined_car.png"}
    assert files_in(tmp_path / "out") == tables | pictures
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["images"] == 4
    assert results["command"].startswith("segcode ")
    assert results["settings"]["refinement"]["energy"] == "cross_entropy"


def test_samples_are_chosen_by_name_and_beginning(root, model, tmp_path):
    for options, images in ((["--only", "a_"], 2), (["--leave-out", "a_1"], 3), (["--only", "b_2"], 1)):
        evaluate(root, model, tmp_path / str(images), *options)
        assert json.loads((tmp_path / str(images) / "results.json").read_text())["images"] == images


def test_settings_of_the_refinement_reach_it(root, model, tmp_path):
    rows = {}
    for evidence in (0, 500):
        given = ("--truth", "road", "--no-infer-whole", "--evidence", evidence)
        evaluate(root, model, tmp_path / str(evidence), *given)
        rows[evidence] = json.loads((tmp_path / str(evidence) / "results.json").read_text())["rows"]
    scores = {e: {(r["method"], r["pixels"]): r["pixel_accuracy"] for r in rows[e]} for e in rows}
    assert scores[0]["optimised", "all"] == scores[0]["zero", "all"]
    assert scores[500]["optimised", "all"] != scores[500]["zero", "all"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--truth", "roda"], "no class is called 'roda': did you mean 'road'?"),
        (["--only", "c_"], "no sample is called 'c_'"),
        (["--split", "vla"], "did you mean 'val'?"),
    ],
)
def test_mistakes_are_named_with_their_cure(root, model, tmp_path, options, message):
    ran = evaluate(root, model, tmp_path / "out", *options)
    assert ran.code == 2
    assert message in " ".join(ran.err.split())
    assert not (tmp_path / "out").exists()


def test_a_part_of_a_class_and_runs_of_images_may_be_asked_for(root, model, tmp_path):
    measured = {}
    for name, given in (("all", ()), ("half", ("--part", 0.5)), ("runs", ("--block", 2))):
        ran = evaluate(root, model, tmp_path / name, "--truth", "road", *given)
        assert ran.code == 0, ran.err
        measured[name] = json.loads((tmp_path / name / "results.json").read_text())
    assert (measured["half"]["settings"]["part"], measured["runs"]["settings"]["block"]) == (0.5, 2)
    assert measured["half"]["rows"] != measured["all"]["rows"] == measured["runs"]["rows"]
    refused = evaluate(root, model, tmp_path / "both", "--truth", "road", "--part", 0.5, "--complete")
    assert refused.code != 0
    assert "0.5 of a class is not complete" in refused.err
