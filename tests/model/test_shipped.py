import pytest

from segcode.errors import CheckpointError
from segcode.model import shipped
from segcode.model.checkpoint import load_model
from segcode.model.shipped import find_model, shipped_models


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "weights")
    for name in ("streets", "camvid"):
        (tmp_path / "weights" / name).mkdir(parents=True)
        (tmp_path / "weights" / name / "config.json").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "weights"


def test_a_shipped_model_is_found_by_its_name(weights):
    assert shipped_models() == ("camvid", "streets")
    assert find_model("streets") == weights / "streets"


def test_a_folder_with_a_model_wins_over_a_name(tmp_path):
    (tmp_path / "streets").mkdir()
    (tmp_path / "streets" / "config.json").touch()
    assert find_model("streets").resolve() == tmp_path / "streets"


def test_a_folder_of_another_kind_hides_no_shipped_model(weights, tmp_path):
    (tmp_path / "streets" / "images").mkdir(parents=True)
    assert find_model("streets") == weights / "streets"


def test_a_folder_that_lacks_its_model_is_told_so(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(CheckpointError, match=r"mine has no config\.json"):
        load_model("mine")


def test_an_unknown_name_is_refused_with_the_nearest(weights):
    with pytest.raises(CheckpointError, match=r"called 'street': did you mean 'streets'\?"):
        find_model("street")
    with pytest.raises(CheckpointError, match="known: camvid, streets"):
        find_model("/nowhere")


def test_a_package_without_models_says_what_to_give(weights, monkeypatch):
    monkeypatch.setattr(shipped, "WEIGHTS", weights / "none")
    with pytest.raises(CheckpointError, match="give the folder `model/` of a training"):
        find_model("streets")
