"""A user's own segmenter, from its output to a corrected map, on the command line alone."""

import json
import sys

import numpy as np
import pytest
import torch
from command_line import files_in, read, save, segcode

from other_segmenters import Net, save_mask2former, save_segformer, softmax, write_onnx
from segcode.classes import CAMVID
from segcode.streets import Streets

STREETS = ("street_000000", "street_000001")
KINDS = ("segformer", "mask2former", "onnx", "arrays", "labels", "python")
MODULE = """
import numpy as np

def logits(image, name):
    return np.random.default_rng(len(name)).normal(0, 3, (11, 12, 16)).astype(np.float32)

logits.classes = "sky building pole road sidewalk tree sign fence car pedestrian bicyclist".split()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two labelled streets in the `folder` layout, and segmenters of their classes by kind."""
    root = tmp_path_factory.mktemp("made")
    ran = segcode("data", "draw", "-n", 2, "--height", 48, "--width", 64, "-o", root / "streets")
    assert ran.code == 0, ran.err
    save_segformer(root / "segformer", CAMVID.names)
    save_mask2former(root / "mask2former", CAMVID.names)
    write_onnx(root / "net.onnx", Net(classes=11))
    (root / "classes.toml").unlink()
    for name in ("arrays", "probabilities"):
        (root / name).mkdir()
    for seed, street in enumerate(STREETS):
        logits = np.random.default_rng(seed).normal(0, 3, (11, 24, 32)).astype(np.float32)
        np.save(root / "arrays" / f"{street}.npy", logits.astype(np.float16))
        np.savez(root / "probabilities" / f"{street}.npz", softmax(logits))
    (root / "scribbled.py").write_text(MODULE)
    return root


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.syspath_prepend("")
    return made


def given(kind: str, classes: bool = True) -> list[str]:
    """The options that name a segmenter, seen from the folder that it is in."""
    match kind:
        case "segformer" | "mask2former":
            return ["--segmenter", f"transformers:{kind}"]
        case "python":
            return ["--segmenter", "python:scribbled.logits"]
        case "labels":
            return ["--segmenter", "labels:streets/labels", "--confidence", "0.8"]
        case "onnx":
            return ["--segmenter", "onnx:net.onnx", *(["--classes", "camvid"] if classes else [])]
        case _:
            return ["--segmenter", f"arrays:{kind}", *(["--classes", "streets"] if classes else [])]


@pytest.mark.parametrize("kind", KINDS)
def test_predict_ten_clicks_and_export_take_any_segmenter(here, tmp_path, kind):
    ran = segcode("predict", "streets/images", *given(kind), "-o", tmp_path / "predicted")
    assert ran.code == 0, ran.err
    name = given(kind)[1]
    assert ran.out.startswith(f"Segmenter {name}, for the 11 classes sky, building, pole, road, ")
    assert ("taken for logits" in ran.err) == (kind in ("onnx", "arrays", "python"))
    assert len(files_in(tmp_path / "predicted")) == 6

    data = ("--data", "folder", "--root", "streets", "--split", "all", "--only", STREETS[0])
    ran = segcode("clicks", *data, *given(kind, classes=False), "--clicks", 10, "-o", tmp_path / "clicks")
    assert ran.code == 0, ran.err
    found = json.loads((tmp_path / "clicks" / "results.json").read_text())
    assert found["settings"]["model"] == name

    ran = segcode("export", *data[:6], *given(kind, classes=False), "-o", tmp_path / "exported")
    assert ran.code == 0, ran.err
    own = read(tmp_path / "predicted" / f"{STREETS[1]}_labels.png")
    assert np.array_equal(read(tmp_path / "exported" / f"{STREETS[1]}.png"), own)


def test_an_old_annotation_is_corrected_where_it_is_wrong_and_kept_elsewhere(tmp_path):
    """The left half of the road is called sky: one stroke there repairs most of it."""
    street = Streets(1, 0, 120, 160)[0]
    assert street.labels is not None
    left = np.zeros(street.labels.shape, bool)
    left[:, :80] = True
    wrong = left & (street.labels == CAMVID.index("road"))
    image = save(tmp_path / "a.png", street.image)
    save(tmp_path / "old" / "a.png", np.where(wrong, CAMVID.index("sky"), street.labels).astype(np.uint8))
    rows, columns = np.nonzero(wrong)
    row = int(np.median(rows))
    stroke = f"road={columns[rows == row].min() + 5},{row}:{columns[rows == row].max() - 5},{row}"
    old = ("--segmenter", f"labels:{tmp_path / 'old'}", "--classes", "camvid")
    ran = segcode("refine", image, *old, "--stroke", stroke, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    right = read(tmp_path / "out" / "a_labels.png") == street.labels
    assert right[wrong].mean() > 0.8
    assert right[~wrong].mean() > 0.97


def test_refine_folder_sample_evaluate_and_calibration_take_a_segmenter(here, tmp_path):
    arrays = given("arrays")
    labels = np.full((48, 64), 255, np.uint8)
    labels[40:, 30:40] = 3
    save(tmp_path / "partial" / f"{STREETS[0]}.png", labels)
    data = ("--data", "folder", "--root", "streets", "--split", "all", *arrays)
    for command in (
        ("refine-folder", "streets/images", "--labels", tmp_path / "partial", *arrays),
        ("sample", f"streets/images/{STREETS[0]}.png", "-n", 2, *arrays),
        ("evaluate", *data, "--truth", "road", "--examples", 0),
        ("calibration", *data, "--clicks", 1, "--draws", 2),
    ):
        ran = segcode(*command, "-o", tmp_path / command[0])
        assert ran.code == 0, (command[0], ran.err)


def test_arrays_of_images_in_folders_are_found_as_the_results_are_named(here, tmp_path):
    for folder in ("left", "right"):
        street = Streets(1, 5, 48, 64)[0]
        save(tmp_path / "run" / folder / "1.png", street.image)
        (tmp_path / "kept" / folder).mkdir(parents=True)
        logits = np.zeros((11, 6, 8), np.float32)
        logits[3 if folder == "left" else 5] = 9
        np.save(tmp_path / "kept" / folder / "1.npy", logits)
    given = ("--segmenter", f"arrays:{tmp_path / 'kept'}", "--classes", "camvid")
    ran = segcode("predict", tmp_path / "run/*/*.png", *given, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert np.unique(read(tmp_path / "out/left/1_labels.png")) == [3]
    assert np.unique(read(tmp_path / "out/right/1_labels.png")) == [5]


def test_one_wrong_array_is_named_and_does_not_stop_the_others(here, tmp_path):
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / f"{STREETS[0]}.npy", np.zeros((6, 8, 11), np.float32))
    np.save(tmp_path / "arrays" / f"{STREETS[1]}.npy", np.eye(11, 12, dtype=np.float32)[..., None] - 0.5)
    given = ("--segmenter", f"arrays:{tmp_path / 'arrays'}", "--classes", "camvid")
    ran = segcode("predict", "streets/images", *given, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "1 of 2 images are predicted" in ran.out
    assert f"{STREETS[0]}.npy is 6 x 8 x 11, with the classes last: put them first" in ran.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "camvid", *given("arrays")], "--model and --segmenter: give one of them"),
        (given("arrays", classes=False), "'arrays:arrays' does not say its classes: give --classes, a class file"),
        ([*given("arrays"), "--numbers", "probabilities"], "these are no probabilities, as stated"),
        ([*given("probabilities"), "--numbers", "logits"], "these are no logits, as stated"),
        ([*given("segformer"), "--classes", "cityscapes"], "'transformers:segformer' has 11 classes, cityscapes 19"),
        (["--segmenter", "arrays:arrays", "--classes", "cityscapes"], "so it has 11 classes, but 19 are named"),
    ],
)
def test_options_that_contradict_each_other_or_the_numbers_are_refused(here, tmp_path, options, message):
    ran = segcode("predict", "streets/images", *options, "-o", tmp_path / "out")
    assert ran.code == 2
    assert message in ran.err
    assert not files_in(tmp_path / "out") if (tmp_path / "out").exists() else True


def test_without_onnxruntime_the_extra_is_named(here, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    ran = segcode("predict", "streets/images", *given("onnx"), "-o", tmp_path / "out")
    assert (ran.code, "pip install 'segcode[onnx]'" in ran.err) == (2, True)


def test_a_fit_to_any_segmenter_is_taken_by_the_other_commands(here, tmp_path, monkeypatch):
    monkeypatch.setattr("segcode.evaluation.fitting.NAMES", ("temperature",))  # one constant is soon searched
    data = ("--data", "folder", "--root", "streets", "--split", "all")
    ran = segcode("fit", "arrays:arrays", *data, "--clicks", 2, "--images", 1, "-o", tmp_path / "fitted")
    assert ran.code == 0, ran.err
    assert files_in(tmp_path / "fitted") == {"constants.json", "clicks.csv"}
    image = f"streets/images/{STREETS[0]}.png"
    fitted = (*given("arrays"), "--constants", tmp_path / "fitted")
    ran = segcode("refine", image, "--point", "road=5,5", *fitted, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err


def test_the_check_shows_maps_numbers_and_shares(here, tmp_path):
    ran = segcode("check-segmenter", "arrays:probabilities", "streets/images", "--classes", "camvid", "-o", tmp_path)
    assert ran.code == 0, ran.err
    text = (tmp_path / "check.txt").read_text()
    assert text in ran.out
    assert f"{STREETS[0]}: 11 x 24 x 32 numbers from " in text
    assert f"{STREETS[1]}: 11 x 24 x 32 numbers from " in text
    assert text.count(": probabilities\n") == 2
    assert "%  bicyclist" in text
    assert "nothing looks wrong" in text
    assert read(tmp_path / "check.png").shape[2] == 3


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_the_check_sees_that_red_and_blue_are_exchanged(here, tmp_path, channels):
    """The network is unsure of what it was not made for: it answers by how much bluer than red a pixel is."""
    save(tmp_path / "blue.png", np.full((32, 64, 3), (40, 90, 200), np.uint8))

    class Blue(Net):
        def forward(self, image):
            bluer = (image[:, 2:] - image[:, :1]).clamp(min=0)
            return torch.cat([3 * bluer, torch.zeros_like(bluer).expand(-1, 10, -1, -1)], 1)

    path = write_onnx(tmp_path / "net.onnx", Blue())
    settings = "white = 1\nmean = [0.0, 0.0, 0.0]\ndeviation = [1.0, 1.0, 1.0]\n"
    path.with_suffix(".toml").write_text(f'{settings}channels = "{channels}"\n')
    ran = segcode("check-segmenter", f"onnx:{path}", tmp_path, "--classes", "camvid", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert ("trained on the other order, RGB or BGR" in ran.out) == (channels == "bgr")


@pytest.mark.parametrize(
    ("logits", "warning"),
    [
        (np.zeros((11, 6, 8), np.float32), "all numbers are the same"),
        (np.random.default_rng(0).normal(0, 1e-3, (11, 6, 8)), "the best class has 9.1% on average, 9.1% is a guess"),
        (9.0 * (np.arange(11)[:, None, None] == 4) * np.ones((1, 6, 8)), "class 4 has 100.0% of all pixels"),
        (np.random.default_rng(0).normal(0, 3, (11, 6, 8)), "the maps of all images are the same"),
        (np.random.default_rng(0).normal(0, 3, (11, 16, 16)), "right if the image was squeezed to that"),
    ],
)
def test_the_check_warns_of_what_looks_wrong(here, tmp_path, logits, warning):
    (tmp_path / "arrays").mkdir()
    for street in STREETS:
        np.save(tmp_path / "arrays" / f"{street}.npy", logits)
    arrays = f"arrays:{tmp_path / 'arrays'}"
    ran = segcode("check-segmenter", arrays, "streets/images", "--classes", "camvid", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert any(warning in line for line in ran.out.splitlines() if line.startswith("warning: "))
    assert "nothing looks wrong" not in ran.out


def test_the_check_takes_a_model_of_segcode(here, tmp_path):
    ran = segcode("check-segmenter", "streets", "streets/images", "-o", tmp_path)
    assert ran.code == 0, ran.err
    assert "logits" in ran.out
