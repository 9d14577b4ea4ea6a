import numpy as np
import pytest
from command_line import FOUR, make_model_folder, save, segcode, street

from segcode.field.constants import load_constants


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two labelled images in the `folder` layout."""
    root = tmp_path_factory.mktemp("data")
    tables = (f'[[class]]\nname = "{n}"\ncolour = {list(c)}\n' for n, c in zip(FOUR.names, FOUR.colours, strict=True))
    (root / "classes.toml").write_text("".join(tables))
    for seed, name in enumerate(["a", "b"]):
        street(root / f"images/train/{name}.png", seed)
        labels = np.random.default_rng(seed).integers(0, 3, (5, 6), np.uint8).repeat(8, 0).repeat(10, 1)
        save(root / f"labels/train/{name}.png", labels)
    return root


def fit(root, out, *options):
    return segcode("fit", "--data", "folder", "--root", root, "--clicks", 1, "-o", out, *options)


def test_the_fitted_constants_can_be_read_and_are_the_best_that_were_tried(root, tmp_path):
    model = make_model_folder(tmp_path / "model")
    ran = fit(root, tmp_path / "fitted", "--fold", f"a={model}", "--fold", f"b={model}")
    assert ran.code == 0, ran.err
    best = [line for line in ran.err.splitlines() if line.startswith("*")][-1]
    assert str(load_constants(tmp_path / "fitted")) in best
    assert "on 2 images, the images of the fit, since there are no others" in ran.out


def test_the_click_curve_before_and_after_is_of_images_that_the_fit_did_not_see(root, tmp_path):
    ran = fit(root, tmp_path / "fitted", make_model_folder(tmp_path / "model"), "--images", 1)
    assert ran.code == 0, ran.err
    assert "on 1 images, images that the fit did not see" in ran.out
    rows = (tmp_path / "fitted" / "clicks.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["clicks", "0", "1"]
    before = next(line for line in ran.out.splitlines() if line.startswith("  before")).split()[1:]
    assert before == [f"{100 * float(row.split(',')[1]):.2f}" for row in rows[1:]]
    given = ("--model", tmp_path / "model", "--constants", tmp_path / "fitted", "-o", tmp_path / "out")
    assert segcode("refine", root / "images/train/a.png", "--point", "road=5,5", *given).code == 0


@pytest.mark.parametrize("options", [(), ("camvid", "--fold", "a=camvid")])
def test_just_one_source_of_initial_predictions_is_asked_for(root, tmp_path, options):
    ran = fit(root, tmp_path / "fitted.json", *options)
    assert ran.code == 2
    assert "give either SEGMENTER or --fold" in ran.err


def test_a_fold_that_is_no_pair_is_named(root, tmp_path):
    ran = fit(root, tmp_path / "fitted.json", "--fold", "0006R0")
    assert ran.code == 2
    assert "--fold is '0006R0': write PREFIX=SEGMENTER" in ran.err
