import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import FOUR, HEIGHT, WIDTH, files_in, make_model_folder, read, save, segcode, street
from PIL import Image as Pillow
from rich.console import Console

from segcode.classes import CAMVID, ClassSet
from segcode.cli import progress as progress_module
from segcode.cli.loading import choose_device
from segcode.cli.outputs import refuse_to_overwrite
from segcode.cli.progress import progress
from segcode.data.files import output_names
from segcode.data.images import read_image
from segcode.errors import ConfigError, DataError
from segcode.model.checkpoint import load_model
from segcode.refinement.refiner import Refiner


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny")


def test_an_image_gives_labels_overlay_and_uncertainty(model, tmp_path):
    image = street(tmp_path / "in" / "a.png")
    ran = segcode("predict", image, "--model", model, "-o", tmp_path / "out", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert files_in(tmp_path / "out") == {"a_labels.png", "a_overlay.png", "a_uncertainty.png"}
    expected = Refiner(load_model(model).model).set_image(read_image(image)).labels
    assert np.array_equal(read(tmp_path / "out" / "a_labels.png"), expected)
    assert read(tmp_path / "out" / "a_overlay.png").shape == (HEIGHT, WIDTH, 3)


def test_the_first_line_says_which_images_the_model_is_for(model, tmp_path):
    ran = segcode("predict", street(tmp_path / "a.png"), "--model", model, "-o", tmp_path / "out")
    assert ran.out.splitlines()[0] == f"Model {model}, for {load_model(model).purpose}"


def test_photographs_get_the_model_for_them_and_its_purpose_is_told(tmp_path):
    ran = segcode("predict", street(tmp_path / "a.png"), "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0] == f"Model camvid, for {load_model('camvid').purpose}"


def test_folders_and_patterns_keep_their_folders(model, tmp_path):
    for name in ("run/left/1.png", "run/right/1.png", "run/right/2.png"):
        street(tmp_path / name)
    ran = segcode("predict", tmp_path / "run/left", tmp_path / "run/r*/*.png", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    labels = {name for name in files_in(tmp_path / "out") if name.endswith("_labels.png")}
    assert labels == {"left/1_labels.png", "right/1_labels.png", "right/2_labels.png"}


def test_a_damaged_image_is_named_and_does_not_stop_the_others(model, tmp_path):
    street(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    ran = segcode("predict", tmp_path / "in", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "1 of 2 images" in ran.out
    assert "bad.png is no image" in ran.err
    assert "good_labels.png" in files_in(tmp_path / "out")


@pytest.mark.parametrize("length", [236, 251])
def test_a_name_however_long_does_not_stop_the_others(model, tmp_path, length):
    street(tmp_path / "in" / "good.png")
    street(tmp_path / "in" / f"{'a' * length}.png")
    ran = segcode("predict", tmp_path / "in", "--model", model, "-o", tmp_path / "out")
    fits = length + len("_uncertainty.png") <= 255
    assert ran.code == (0 if fits else 2)
    assert fits or "has a name of 262 bytes, more than 255: choose a shorter one" in ran.err
    assert "good_labels.png" in files_in(tmp_path / "out")


def test_a_large_photograph_takes_less_than_fifty_bytes_a_pixel(tmp_path):
    model = make_model_folder(tmp_path / "model", CAMVID)
    small, large = street(tmp_path / "small.png"), tmp_path / "large.png"
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    with Pillow.fromarray(coarse).resize((1600, 1200)) as picture:
        picture.save(large)
    script = """
import resource, sys
from segcode.cli import main
for image in sys.argv[3:]:
    try:
        main(["predict", image, "--model", sys.argv[1], "-o", sys.argv[2]])
    except SystemExit as end:
        assert not end.code
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    command = [sys.executable, "-c", script, model, tmp_path / "out", small, large]
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    before, after = (int(line) for line in ran.stdout.splitlines() if line.isdigit())
    assert 1024 * (after - before) < 50 * 1600 * 1200


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(model, tmp_path):
    for name in "ab":
        street(tmp_path / "in" / f"{name}.png")
    run = ["predict", tmp_path / "in", "--model", model, "-o", tmp_path / "out"]
    assert segcode(*run).code == 0
    kept = (tmp_path / "out" / "a_labels.png").stat().st_mtime_ns
    (tmp_path / "out" / "b_uncertainty.png").unlink()
    ran = segcode(*run, "--resume")
    assert ran.code == 0, ran.err
    assert "1 of 2 images are predicted, 1 were there" in ran.out
    assert (tmp_path / "out" / "a_labels.png").stat().st_mtime_ns == kept
    assert len(files_in(tmp_path / "out")) == 6


def test_what_was_predicted_beside_the_images_is_no_image(model, tmp_path):
    street(tmp_path / "run" / "a.png")
    for _ in range(2):
        ran = segcode("predict", tmp_path / "run" / "**" / "*.png", "--model", model, "-o", tmp_path / "run")
        assert ran.code == 0, ran.err
        assert "1 of 1 images are predicted" in ran.out


@pytest.mark.parametrize(
    ("image", "model_name", "message"),
    [
        ("missing.png", "tiny", "missing.png is no file, folder or matching pattern"),
        ("a.png", "nowhere", "no folder and no shipped model is called"),
        ("a.png", ".", "has no config.json: give the folder"),
    ],
)
def test_what_is_missing_is_named(tmp_path, monkeypatch, image, model_name, message):
    monkeypatch.chdir(tmp_path)
    make_model_folder(Path("tiny"))
    street(Path("a.png"))
    ran = segcode("predict", image, "--model", model_name, "-o", "out")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert message in ran.err
    assert not Path("out").exists()


def test_an_output_that_is_a_file_is_named(model, tmp_path):
    (tmp_path / "out").write_text("mine")
    ran = segcode("predict", street(tmp_path / "a.png"), "--model", model, "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.err.startswith(f"error: {tmp_path / 'out'}: ")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_input_is_never_overwritten(model, tmp_path):
    street(tmp_path / "a.png")
    labels = street(tmp_path / "a_labels.png", seed=1)
    before = labels.read_bytes()
    ran = segcode("predict", tmp_path, "--model", model, "-o", tmp_path)
    assert ran.code == 2
    assert "a_labels.png is an input and would be overwritten" in ran.err
    assert labels.read_bytes() == before


def test_results_are_named_after_the_images():
    assert list(output_names([Path("a.png")]).files) == ["a"]
    assert list(output_names([Path("x/a.png"), Path("x/b.jpg")]).files) == ["a", "b"]
    assert list(output_names([Path("x/a.png"), Path("x/y/a.png")]).files) == ["a", "y/a"]


@pytest.mark.parametrize("command", ["predict", "export", "refine-folder"])
def test_images_that_differ_in_their_ending_only_are_listed_and_do_not_stop_the_others(model, tmp_path, command):
    for name in ("a.jpg", "a.png", "b.png"):
        street(tmp_path / "in" / name)
    save(tmp_path / "known" / "b.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    labels = ["--labels", tmp_path / "known"] if command == "refine-folder" else []
    ran = segcode(command, tmp_path / "in", *labels, "--model", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert f"{tmp_path / 'in/a.jpg'} and {tmp_path / 'in/a.png'} have one name, 'a': rename or remove all" in ran.err
    assert {name[0] for name in files_in(tmp_path / "out") - {".lock", "manifest.csv"}} == {"b"}
    assert any(name.startswith("b") for name in files_in(tmp_path / "out"))


def test_two_images_are_never_exported_to_one_file(model, tmp_path):
    for name in ("x.png", "x_leftImg8bit.png"):
        street(tmp_path / "in" / name)
    ran = segcode("export", tmp_path / "in", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "have one name, 'x'" in ran.err
    assert files_in(tmp_path / "out") == set()


def test_another_spelling_of_an_input_is_seen(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="would be overwritten"):
        refuse_to_overwrite([tmp_path / "a.png"], [tmp_path / "sub" / ".." / "a.png"])


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="PyTorch sees no GPU: leave the option out"):
        choose_device("cuda")


def test_auto_takes_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("watched", [True, False])
def test_progress_gives_every_item(monkeypatch, capsys, watched):
    monkeypatch.setattr(progress_module, "somebody_watches", lambda: watched)
    assert list(progress(range(5), 5, "Counting")) == list(range(5))


def test_nobody_watches_a_log(monkeypatch):
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setenv("CI", "true")
    assert not progress_module.somebody_watches()
    monkeypatch.delenv("CI")
    assert progress_module.somebody_watches()


@pytest.mark.parametrize("command", ["predict", "export"])
def test_maps_of_other_classes_are_not_taken_for_those_of_this_model(model, tmp_path, command):
    image, other = street(tmp_path / "a.png"), ClassSet(FOUR.names[::-1], FOUR.colours)
    assert segcode(command, image, "--model", model, "-o", tmp_path / "out").code == 0
    ran = segcode(
        command, image, "--model", make_model_folder(tmp_path / "m", other), "-o", tmp_path / "out", "--resume"
    )
    assert ran.code == 2
    assert "has the classes road, sidewalk, car, sky, and the model sky, car, sidewalk, road" in ran.err
