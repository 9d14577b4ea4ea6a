from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segcode.classes import ClassSet
from segcode.errors import CheckpointError
from segcode.model.checkpoint import LoadedModel, load_model, save_model
from tiny import TINY

CLASSES = ClassSet(("a", "b", "c", "d"), ((1, 2, 3), (4, 5, 6), (7, 8, 9), (9, 9, 9)))


@pytest.fixture
def folder(tmp_path, tiny_model):
    save_model(tmp_path / "model", LoadedModel(tiny_model, CLASSES), "# card")
    return tmp_path / "model"


def test_a_saved_model_predicts_the_same(folder, tiny_model):
    loaded = load_model(folder)
    image, known = torch.rand(1, 3, 32, 48), torch.zeros(1, 8, 32, 48)
    assert (loaded.classes, loaded.purpose) == (CLASSES, TINY.purpose)
    assert loaded.model.config == TINY
    assert not loaded.model.training
    # Weights are kept in half precision.
    assert torch.allclose(loaded.model(image, known).base_logits, tiny_model(image, known).base_logits, atol=2e-2)


def test_a_loaded_model_unpacks_into_model_and_classes(folder):
    model, classes = load_model(folder)
    assert (model.config, classes) == (TINY, CLASSES)


@pytest.mark.parametrize("name", ["model", "classes"])
def test_a_missing_entry_of_the_config_is_named(folder, name):
    config = json.loads((folder / "config.json").read_text())
    del config[name]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"config\.json lacks '{name}'"):
        load_model(folder)


def test_a_config_that_is_no_table_is_refused(folder):
    (folder / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load_model(folder)


def test_a_folder_holds_weights_config_and_card_and_nothing_else(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_saving_again_replaces_the_folder(folder, tiny_model):
    save_model(folder, LoadedModel(tiny_model, CLASSES), "# another card")
    assert (folder / "README.md").read_text() == "# another card"


def test_a_save_that_fails_leaves_what_was_there(folder, tiny_model, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("segcode.model.checkpoint.save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_model(folder, LoadedModel(tiny_model, CLASSES), "# lost")
    assert (folder / "README.md").read_text() == "# card"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_kill_while_saving_again_leaves_a_whole_model(folder, tiny_model, monkeypatch):
    class Kill(BaseException):
        pass

    def kill(*arguments, **options):
        raise Kill

    monkeypatch.setattr("shutil.rmtree", kill)  # the old model is about to be deleted
    with pytest.raises(Kill):
        save_model(folder, LoadedModel(tiny_model, CLASSES), "# another card")
    assert (folder / "README.md").read_text() == "# another card"
    assert load_model(folder).classes == CLASSES


def test_a_folder_that_cannot_take_its_place_leaves_what_was_there(folder, tiny_model, monkeypatch):
    rename = Path.rename

    def refuse(path, target):
        if path != folder and target == folder and not path.name.endswith(".old"):
            raise PermissionError("refused")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        save_model(folder, LoadedModel(tiny_model, CLASSES), "# lost")
    assert (folder / "README.md").read_text() == "# card"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"has no {name}"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_file_is_named(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(CheckpointError, match=name):
        load_model(folder)


def test_tensors_that_the_model_lacks_are_refused(folder):
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"label_encoder.hole.weight": torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"Unexpected key.*label_encoder\.hole\.weight"):
        load_model(folder)


def test_weights_of_another_architecture_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["model"]["width"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"does not fit its config\.json \(size mismatch for "):
        load_model(folder)


@pytest.mark.parametrize(("name", "word"), [("camvid", "daylight"), ("streets", "not photographs")])
def test_a_shipped_model_says_which_images_it_is_for(name, word):
    loaded = load_model(name)
    assert word in loaded.purpose
    assert loaded.model.config.classes == len(loaded.classes)
