import numpy as np
import pytest
from command_line import FOUR, files_in, make_model_folder, mask, read, segcode, street


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def image(tmp_path):
    return street(tmp_path / "street.png")


def test_samples_are_files_and_one_sheet(model, image, tmp_path):
    ran = segcode("sample", image, "-n", 2, "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    expected = {"street_sample_01_labels.png", "street_sample_02_labels.png", "street_samples.png"}
    assert files_in(tmp_path / "out") == expected
    first, second = (read(tmp_path / "out" / f"street_sample_0{i}_labels.png") for i in (1, 2))
    assert (first != second).any()


def test_samples_respect_the_truth_and_repeat(model, image, tmp_path):
    drawn = mask(tmp_path / "mask.png")
    for out in ("a", "b"):
        ran = segcode("sample", image, "-n", 2, "--truth", f"sky={drawn}", "--model", model, "-o", tmp_path / out)
        assert ran.code == 0, ran.err
        assert "labelled cells" in ran.out
    for name in files_in(tmp_path / "a"):
        assert np.array_equal(read(tmp_path / "a" / name), read(tmp_path / "b" / name))
    for i in (1, 2):
        assert (read(tmp_path / "a" / f"street_sample_0{i}_labels.png")[read(drawn) > 0] == FOUR.index("sky")).all()


def test_another_seed_draws_other_maps(model, image, tmp_path):
    # The untrained model knows nothing of the image: many draws show one class alone, and two of them may be alike.
    for seed in range(4):
        segcode("sample", image, "-n", 1, "--seed", seed, "--model", model, "-o", tmp_path / str(seed))
    maps = {read(tmp_path / str(seed) / "street_sample_01_labels.png").tobytes() for seed in range(4)}
    assert len(maps) > 1


def test_an_extent_needs_a_mask(model, image, tmp_path):
    options = ["--point", "sky=1,1", "--extent", "sky=exhaustive"]
    ran = segcode("sample", image, *options, "--model", model, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "--extent sky=exhaustive: it has no mask, polygon or box" in ran.err


def test_no_samples_are_refused(image, tmp_path):
    ran = segcode("sample", image, "--model", "streets", "-n", 0, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "-n" in ran.err
