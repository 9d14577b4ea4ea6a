from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segcode.classes import ClassSet
from segcode.errors import CheckpointError
from segcode.model.checkpoint import LoadedModel, load_model, save_model
from segcode.stored import write_stored
from tiny import TINY

CLASSES = ClassSet(("a", "b", "c", "d"), ((1, 2, 3), (4, 5, 6), (7, 8, 9), (9, 9, 9)))


@pytest.fixture
def folder(tmp_path, tiny_model):
    save_model(tmp_path / "model", LoadedModel(tiny_model, CLASSES), "# card")
    return tmp_path / "model"


def test_weights_can_be_read_by_whom_the_umask_lets(folder):
    (folder / "plain").touch()
    assert (folder / "model.safetensors").stat().st_mode == (folder / "plain").stat().st_mode


def test_a_saved_model_predicts_the_same(folder, tiny_model):
    loaded = load_model(folder)
    image, known = torch.rand(1, 3, 32, 48), torch.zeros(1, 8, 32, 48)
    assert (loaded.classes, loaded.purpose) == (CLASSES, TINY.purpose)
    assert loaded.model.config == TINY
    assert not loaded.model.training
    # Weights are kept in 8 bits and in half precision.
    assert torch.allclose(loaded.model(image, known).base_logits, tiny_model(image, known).base_logits, atol=2e-2)


def test_a_weight_errs_by_half_a_step_of_its_channel_at_most_and_half_the_bytes_are_saved(folder, tiny_model):
    read, written = load_model(folder).model.state_dict(), load_file(folder / "model.safetensors")
    halves = 0
    for name, weight in tiny_model.state_dict().items():
        if weight.is_floating_point() and weight.dim() > 1:
            assert written[name].dtype == torch.int8
            step = weight.flatten(1).abs().amax(1) / 127
            error = (read[name] - weight).flatten(1).abs().amax(1)
            assert (error <= 0.6 * step + 1e-7).all(), name
            halves += 2 * weight.numel()
    assert sum(t.numel() * t.element_size() for t in written.values()) < 0.8 * halves


def test_a_channel_of_zeros_stays_zero(tmp_path, tiny_model):
    with torch.no_grad():
        tiny_model.decoder.grid.weight[2] = 0
    save_model(tmp_path / "model", LoadedModel(tiny_model, CLASSES), "")
    assert (load_model(tmp_path / "model").model.decoder.grid.weight[2] == 0).all()


def test_an_8_bit_weight_without_its_scale_is_refused(folder):
    path = folder / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k != "decoder.grid.weight.scale"}, path)
    rewrite(folder)
    with pytest.raises(CheckpointError, match=r"decoder\.grid\.weight is int8 \[30, 6\] in place of float32"):
        load_model(folder)


def test_a_scale_of_another_length_is_refused(folder):
    rewrite(folder, **{"decoder.grid.weight.scale": torch.ones(7)})
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(folder)


def test_a_folder_in_the_manner_of_hugging_face_names_its_classes_and_has_a_card(folder, tmp_path):
    LoadedModel.from_pretrained(folder).save_pretrained(tmp_path / "other")
    again = LoadedModel.from_pretrained(tmp_path / "other")
    assert (again.model.config, again.classes) == (TINY, CLASSES)
    assert again.id2label == {0: "a", 1: "b", 2: "c", 3: "d"}
    config = json.loads((tmp_path / "other/config.json").read_text())
    assert config["id2label"] == {"0": "a", "1": "b", "2": "c", "3": "d"}
    card = (tmp_path / "other/README.md").read_text()
    assert card.startswith("---\nlibrary_name: segcode\n")
    assert f"- For: {TINY.purpose}.\n" in card


def test_a_loaded_model_unpacks_into_model_and_classes(folder):
    model, classes = load_model(folder)
    assert (model.config, classes) == (TINY, CLASSES)


def rewrite(folder: Path, change: Callable[[dict], object] = lambda tables: None, **weights: torch.Tensor) -> None:
    """As if another program had written the folder: the digest is right, and what it covers need not be."""
    path = folder / "model.safetensors"
    if weights:
        save_file(load_file(path) | weights, path)
    tables = {key: value for key, value in json.loads((folder / "config.json").read_text()).items() if key != "sha256"}
    change(tables)
    write_stored(folder / "config.json", tables, path)


@pytest.mark.parametrize("name", ["model", "classes"])
def test_a_missing_entry_of_the_config_is_named(folder, name):
    rewrite(folder, lambda tables: tables.pop(name))
    with pytest.raises(CheckpointError, match=rf"config\.json lacks '{name}'"):
        load_model(folder)


@pytest.mark.parametrize("content", ["[]", "null", "3", "{", "[" * 100_000, '{"format": ' + "9" * 5000 + "}", "\ud800"])
def test_a_config_that_is_no_table_is_refused(folder, content):
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=r"config\.json (is damaged|lacks)") as found:
        load_model(folder)
    assert len(str(found.value)) < 1000


def test_a_format_of_the_future_is_refused_with_both_versions(folder):
    rewrite(folder, lambda tables: tables.update(format=7))
    with pytest.raises(CheckpointError, match=r"has format 7, and segcode [\d.]+ reads format 1: update segcode"):
        load_model(folder)


@pytest.mark.parametrize("old", [0, "1", True, None, 1.5])
def test_a_format_that_is_no_version_is_refused(folder, old):
    rewrite(folder, lambda tables: tables.update(format=old))
    with pytest.raises(CheckpointError, match="was changed or damaged"):
        load_model(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("classes", "names"), None),
        (("classes",), None),
        (("classes", "names"), ["a", "b", "c"]),
        (("model", "classes"), 5),
        (("model", "width"), 2**70),
        (("model", "width"), 2**31 - 1),
        (("model", "width"), True),
        (("model", "width"), 4.0),
        (("model", "code_size"), 2**31 - 1),
        (("model", "code_grid"), [2**20, 2**20]),
        (("model", "code_channels"), 2**31 - 1),
        (("model", "size"), [1e400, 3]),
        (("model", "huggingface"), 3),
        (("model", "backbone"), "huggingface"),
        (("model",), []),
    ],
)
def test_a_config_that_fits_no_weights_is_refused_before_anything_is_allocated(folder, key, value):
    def change(tables):
        for name in key[:-1]:
            tables = tables[name]
        tables[key[-1]] = value

    rewrite(folder, change)
    with pytest.raises(CheckpointError) as found:
        load_model(folder)
    assert str(folder) in str(found.value)


def test_classes_that_are_not_those_of_the_network_are_refused(folder):
    """A class more or less would give every pixel another meaning."""

    def drop(tables):
        del tables["classes"]["names"][-1], tables["classes"]["colours"][-1]

    rewrite(folder, drop)
    with pytest.raises(CheckpointError, match="3 classes for a model of 4"):
        load_model(folder)


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64, torch.bool])
def test_weights_of_another_kind_of_number_are_refused(folder, dtype):
    rewrite(folder, **{"label_encoder.mean.bias": torch.ones(6, dtype=dtype)})
    with pytest.raises(CheckpointError, match=r"label_encoder\.mean\.bias is \w+ \[6\] in place of float32"):
        load_model(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(folder, tiny_model, value):
    scale = load_file(folder / "model.safetensors")["decoder.grid.weight.scale"]
    rewrite(folder, **{"decoder.grid.weight.scale": scale.fill_(value)})
    with pytest.raises(CheckpointError, match=r"decoder\.grid\.weight has numbers that are not finite"):
        load_model(folder)
    with torch.no_grad():
        tiny_model.decoder.grid.weight[0, 0] = value
    with pytest.raises(CheckpointError, match=r"decoder\.grid\.weight has numbers that are not finite"):
        save_model(folder.parent / "other", LoadedModel(tiny_model, CLASSES), "")
    assert not (folder.parent / "other").exists()


def test_weights_that_are_finite_in_32_bits_alone_are_not_saved(tmp_path, tiny_model):
    with torch.no_grad():
        tiny_model.decoder.grid.weight[0, 0] = 1e6
    with pytest.raises(CheckpointError, match="not finite"):
        save_model(tmp_path / "model", LoadedModel(tiny_model, CLASSES), "")


@pytest.mark.parametrize("seed", range(20))
def test_one_changed_byte_of_the_weights_is_refused(folder, seed):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    draw = random.Random(seed)
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="changed or damaged"):
        load_model(folder)


def test_config_json_may_have_other_spaces_and_another_order(folder):
    tables = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(dict(reversed(tables.items()))))
    assert load_model(folder).classes == CLASSES


def test_a_folder_holds_weights_config_and_card_and_nothing_else(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_saving_again_replaces_the_folder(folder, tiny_model):
    save_model(folder, LoadedModel(tiny_model, CLASSES), "# another card")
    assert (folder / "README.md").read_text() == "# another card"


def test_a_save_that_fails_leaves_what_was_there(folder, tiny_model, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("segcode.model.checkpoint.save", full_disk)
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
    rewrite(folder, **{"label_encoder.hole.weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"label_encoder\.hole\.weight is unknown"):
        load_model(folder)


def test_tensors_that_are_missing_are_named(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights["decoder.grid.weight"]
    save_file(weights, path)
    rewrite(folder)
    with pytest.raises(CheckpointError, match=r"decoder\.grid\.weight is missing"):
        load_model(folder)


def test_weights_of_another_architecture_are_refused(folder):
    rewrite(folder, lambda tables: tables["model"].update(width=8))
    with pytest.raises(
        CheckpointError, match=r"does not fit its config\.json \(features\.\S+ is float32 .* in place of "
    ):
        load_model(folder)


@pytest.mark.parametrize(("name", "word"), [("camvid", "daylight"), ("streets", "not photographs")])
def test_a_shipped_model_says_which_images_it_is_for(name, word):
    loaded = load_model(name)
    assert word in loaded.purpose
    assert loaded.model.config.classes == len(loaded.classes)
