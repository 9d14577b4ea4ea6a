import numpy as np
import pytest
from command_line import FOUR, files_in, make_model_folder, read, save, segcode, street

from segcode.classes import CITYSCAPES


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "cityscapes", CITYSCAPES)


@pytest.fixture
def root(tmp_path):
    for i in range(2):
        street(tmp_path / f"cs/leftImg8bit/val/ulm/ulm_00000{i}_000019_leftImg8bit.png", i)
        save(tmp_path / f"cs/gtFine/val/ulm/ulm_00000{i}_000019_gtFine_labelIds.png", np.full((40, 60), 7, np.uint8))
    return tmp_path / "cs"


def test_a_split_is_exported_under_the_official_names_and_ids(model, root, tmp_path):
    ran = segcode("export", "--data", "cityscapes", "--root", root, "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert files_in(tmp_path / "out") == {"ulm_000000_000019.png", "ulm_000001_000019.png"}
    assert set(np.unique(read(tmp_path / "out" / "ulm_000000_000019.png"))) <= set(CITYSCAPES.raw_ids)


def test_images_are_exported_as_their_split_is(model, root, tmp_path):
    segcode("export", "--data", "cityscapes", "--root", root, "--model", model, "-o", tmp_path / "a")
    ran = segcode("export", root / "leftImg8bit/val/*/*.png", "--model", model, "-o", tmp_path / "b")
    assert ran.code == 0, ran.err
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")
    for name in files_in(tmp_path / "a"):
        assert np.array_equal(read(tmp_path / "a" / name), read(tmp_path / "b" / name))


def test_a_model_of_other_classes_is_refused(root, tmp_path):
    other = make_model_folder(tmp_path / "other", FOUR)
    ran = segcode("export", "--data", "cityscapes", "--root", root, "--model", other, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "the model road, sidewalk, car, sky: choose a model that was trained on these classes" in ran.err


@pytest.mark.parametrize("options", [[], ["a.png", "--data", "streets"]])
def test_images_or_a_data_set_but_not_both(tmp_path, options):
    ran = segcode("export", *options, "--model", "streets", "-o", tmp_path / "out")
    assert ran.code == 2
    assert "give one of the two" in ran.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "cityscapes"], "give the folder that it lies in as its root"),
        (["--data", "cityscapes", "--root", "cs", "--split", "vla"], "has no split 'vla': did you mean 'val'?"),
    ],
)
def test_a_data_set_that_is_not_there_is_named(root, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    ran = segcode("export", *options, "--model", "streets", "-o", "out")
    assert ran.code == 2
    assert message in ran.err


def test_a_bad_image_does_not_stop_the_others_and_a_stopped_run_goes_on(model, tmp_path):
    for name in "ac":
        street(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    run = ["export", tmp_path / "in", "--model", model, "-o", tmp_path / "out"]
    ran = segcode(*run)
    assert ran.code == 2
    assert "b.png is no image" in ran.err
    assert files_in(tmp_path / "out") == {"a.png", "c.png"}
    kept = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    (tmp_path / "out" / "c.png").unlink()
    street(tmp_path / "in" / "b.png")
    ran = segcode(*run, "--resume")
    assert ran.code == 0, ran.err
    assert files_in(tmp_path / "out") == {"a.png", "b.png", "c.png"}
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == kept
