import json
import shutil

import numpy as np
import pytest
from command_line import FOUR, files_in, make_model_folder, save, segcode, street
from PIL import Image as Pillow


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
    assert "| road, optimised |" in ran.out
    pictures = {"iou_matrix.png", "predictions.png", "refined_road.png", "refined_car.png"}
    assert files_in(tmp_path / "out") == {"results.json", "results.csv", "tables.md"} | pictures
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["images"] == 4
    assert results["command"].startswith("segcode ")
    assert results["settings"]["code"]["energy"] == "cross_entropy"
    assert {row["amount"] for row in results["rows"] if row["truth"]} == {"exhaustive"}


def test_samples_are_chosen_by_name_and_beginning(root, model, tmp_path):
    for options, images in ((["--only", "a_"], 2), (["--leave-out", "a_1"], 3), (["--only", "b_2"], 1)):
        evaluate(root, model, tmp_path / str(images), *options)
        assert json.loads((tmp_path / str(images) / "results.json").read_text())["images"] == images


def test_extent_energy_and_solver_reach_the_measurement(root, model, tmp_path):
    options = {
        "usual": (),
        "part": ("--extent", "part"),
        "euclidean": ("--energy", "euclidean", "--solver", "levenberg_marquardt"),
    }
    scores = {}
    for name, given in options.items():
        ran = evaluate(root, model, tmp_path / name, "--truth", "road", "--examples", 0, *given)
        assert ran.code == 0, ran.err
        rows = json.loads((tmp_path / name / "results.json").read_text())["rows"]
        scores[name] = {row["method"]: row["pixel_accuracy"] for row in rows if row["pixels"] == "all"}
    assert scores["part"]["replaced + excluded"] == scores["usual"]["replaced"]
    assert scores["euclidean"]["code alone"] != scores["usual"]["code alone"]
    assert scores["euclidean"]["optimised"] == scores["usual"]["optimised"]
    assert not list((tmp_path / "usual").glob("refined*"))


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


def test_what_is_unusual_in_the_files_is_told_once(root, model, tmp_path):
    copy = shutil.copytree(root, tmp_path / "data")
    exif = Pillow.Exif()
    exif[0x0112] = 3
    for name in ("a_1", "b_1"):
        with Pillow.open(copy / f"images/val/{name}.png") as picture:
            picture.save(copy / f"images/val/{name}.png", exif=exif)
    ran = evaluate(copy, model, tmp_path / "out", "--truth", "road")
    assert ran.code == 0, ran.err
    assert ran.err.count("have unusual files") == 1
    assert "2 of 4 samples have unusual files, the first: " in ran.err
    assert "a_1.png is turned as its EXIF orientation 3 says" in ran.err
