"""A training that was stopped, moved, damaged or joined by another one goes on to the same model, or says why not."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image as Pillow
from safetensors.torch import load_file

from segcode.errors import CheckpointError, ConfigError, DataError, TrainingError
from segcode.stored import read_stored, write_stored
from segcode.training.callbacks import EpochReport
from segcode.training.checkpoints import WholeFiles, read_checkpoint
from segcode.training.experiment import read_experiment
from segcode.training.run import train

PLAIN = ('optimiser.schedule="constant"', "loss.kl_warmup=0.0", "optimiser.averaging=0.0")
"""An experiment whose epochs are the same, however many there will be."""


def same_models(first: Path, second: Path) -> bool:
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (first, second))
    return all(torch.equal(ours[name], value) for name, value in theirs.items())


@pytest.fixture(scope="session")
def stopped(experiment_file, tmp_path_factory) -> Path:
    """A training of four epochs that was stopped in the third."""
    out = tmp_path_factory.mktemp("stopped")

    def fail(report, trainer, module):
        if trainer.current_epoch == 2:
            raise ConnectionError("in the third epoch")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(EpochReport, "on_train_epoch_end", fail)
        with pytest.raises(ConnectionError):
            train(read_experiment(experiment_file), out, progress=False)
    assert read_checkpoint(out / "checkpoints" / "last.ckpt")["epoch"] == 1
    return out


@pytest.fixture
def moved(stopped, tmp_path) -> Path:
    """Its copy at another place."""
    return Path(shutil.copytree(stopped, tmp_path / "moved"))


def test_a_moved_run_goes_on_to_the_same_model_and_touches_nothing_else(experiment_file, stopped, moved, finished):
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*")}
    # The best epoch is that of the part before, wherever that lay: none of the original's files is read.
    (stopped / "checkpoints" / "best.ckpt").rename(stopped / "checkpoints" / "hidden.ckpt")
    try:
        train(read_experiment(experiment_file), moved, resume=True, progress=False)
    finally:
        (stopped / "checkpoints" / "hidden.ckpt").rename(stopped / "checkpoints" / "best.ckpt")
    assert same_models(moved, finished)
    assert {path: path.stat().st_mtime_ns for path in stopped.rglob("*") if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }


def test_a_moved_run_remembers_its_files_where_they_are(experiment_file, tmp_path):
    plan = read_experiment(experiment_file, (*PLAIN, "epochs=1"))
    train(plan, tmp_path / "first", progress=False)
    (tmp_path / "first").rename(tmp_path / "second")
    still = replace(plan, epochs=2)
    train(still, tmp_path / "second", resume=True, progress=False)
    best = read_checkpoint(tmp_path / "second" / "checkpoints" / "last.ckpt")["callbacks"]
    paths = [state["best_model_path"] for name, state in best.items() if "best_model_path" in state]
    assert all(str(tmp_path / "second") in path for path in paths)


@pytest.mark.parametrize("change", ["data.workers=3", "data.preload=false"])
def test_what_cannot_change_the_numbers_may_change(experiment_file, moved, finished, change):
    train(read_experiment(experiment_file, [change]), moved, resume=True, progress=False)
    assert same_models(moved, finished)


def test_the_data_may_have_moved(experiment_file, moved, finished, tmp_path):
    root = shutil.copytree(experiment_file.parent, tmp_path / "data")
    train(read_experiment(experiment_file, [f'data.root="{root}"']), moved, resume=True, progress=False)
    assert same_models(moved, finished)


def test_other_images_at_the_place_of_the_data_are_refused(experiment_file, moved, tmp_path):
    root = shutil.copytree(experiment_file.parent, tmp_path / "data")
    for kind in ("images", "labels"):
        (root / kind / "train" / "3.png").unlink()
    with pytest.raises(ConfigError, match="has other images"):
        train(read_experiment(experiment_file, [f'data.root="{root}"']), moved, resume=True, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("batch=4", "batch is 4, but the training to resume has 2: give its experiment"),
        ('hardware.precision="bf16-mixed"', "hardware.precision is bf16-mixed, but"),
        ("hardware.devices=2", "hardware.devices is 2, but"),  # the noise is of a step and a process
        ("optimiser.learning_rate=0.5", "optimiser.learning_rate is 0.5, but"),
        ("epochs=5", "the cosine schedule of the complete epochs"),
        ("epochs=3", "the cosine schedule of the complete epochs"),
    ],
)
def test_what_changes_the_numbers_is_refused_with_the_reason(experiment_file, moved, change, message):
    with pytest.raises(ConfigError, match=message):
        train(read_experiment(experiment_file, [change]), moved, resume=True, progress=False)


def test_more_epochs_give_what_they_would_have_given_at_once(experiment_file, tmp_path):
    plan = read_experiment(experiment_file, (*PLAIN, "epochs=1"))
    train(plan, tmp_path / "longer", progress=False)
    for epochs, out, resume in ((2, "longer", True), (2, "at once", False)):
        train(replace(plan, epochs=epochs), tmp_path / out, resume, progress=False)
    assert same_models(tmp_path / "longer", tmp_path / "at once")
    with pytest.raises(ConfigError, match=r"epochs is 1, .* has 2: 2 are complete"):
        train(plan, tmp_path / "longer", resume=True, progress=False)
    warming = replace(plan, epochs=9, loss=replace(plan.loss, kl_warmup=0.5))
    with pytest.raises(ConfigError, match=r"loss.kl_warmup is 0\.5|warm-up"):
        train(warming, tmp_path / "longer", resume=True, progress=False)


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("fault", ["cut", "byte", "empty", "text", "other", "not finite"])
def test_a_damaged_checkpoint_is_refused_by_its_name(experiment_file, moved, name, fault):
    path = moved / "checkpoints" / f"{name}.ckpt"
    content = bytearray(path.read_bytes())
    if fault == "byte":
        content[len(content) // 2] ^= 1
    checkpoint = torch.load(path, weights_only=True)
    weight = next(iter(checkpoint["state_dict"].values()))
    weight.flatten()[0] = float("nan")
    saved = {"other": [1, 2], "not finite": checkpoint}
    if fault in saved:
        torch.save(saved[fault], path)
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"text"}.get(fault, content))
    with pytest.raises(CheckpointError, match=rf"{name}\.ckpt is (damaged|no checkpoint)"):
        train(read_experiment(experiment_file), moved, resume=True, progress=False)


def test_no_changed_byte_of_a_checkpoint_is_read_as_another_number(moved, tmp_path):
    path = moved / "checkpoints" / "last.ckpt"
    content, whole = path.read_bytes(), read_checkpoint(path)["state_dict"]
    draw = random.Random(0)
    for _ in range(20):
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        (tmp_path / "changed.ckpt").write_bytes(changed)
        try:
            read = read_checkpoint(tmp_path / "changed.ckpt")["state_dict"]
        except CheckpointError:
            continue
        assert all(torch.equal(read[name], value) for name, value in whole.items())  # padding of the file


def test_a_checkpoint_of_another_network_is_refused(experiment_file, moved, tmp_path):
    other = read_experiment(experiment_file, ["epochs=1", "model.width=3"])
    train(other, tmp_path / "other", progress=False)
    shutil.copy(tmp_path / "other" / "checkpoints" / "best.ckpt", moved / "checkpoints" / "best.ckpt")
    with pytest.raises(CheckpointError, match=r"best\.ckpt does not fit its experiment"):
        train(read_experiment(experiment_file), moved, resume=True, progress=False)


def test_a_run_of_the_future_is_refused_with_both_versions(experiment_file, moved):
    path = moved / "experiment.json"
    write_stored(path, {**read_stored(path, ""), "format": 2})
    with pytest.raises(CheckpointError, match=r"experiment\.json has format 2, .* reads format 1"):
        train(read_experiment(experiment_file), moved, resume=True, progress=False)


@pytest.mark.parametrize("content", ["[]", "{", "", "null", '{"epochs": 4}'])
def test_a_damaged_record_of_the_experiment_is_refused_by_its_name(experiment_file, moved, content):
    (moved / "experiment.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"experiment\.json (is damaged|lacks)"):
        train(read_experiment(experiment_file), moved, resume=True, progress=False)


def checkpoint(number: float) -> dict:
    return {"state_dict": {"weight": torch.full((1000,), number)}} | dict.fromkeys(
        ("epoch", "optimiser_states", "optimizer_states", "lr_schedulers", "loops", "callbacks")
    )


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint(checkpoint(1), path)

    def full(file, content):
        with file.open("wb") as opened:
            opened.write(bytes(content)[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        WholeFiles().save_checkpoint(checkpoint(2), path)
    assert read_checkpoint(path)["state_dict"]["weight"][0] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_disk_that_is_full_leaves_the_checkpoint_before(tmp_path):
    """A real one, of 64 kB, where this may be mounted."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        path = tmp_path / "last.ckpt"
        WholeFiles().save_checkpoint(checkpoint(1), path)
        large = checkpoint(2)
        large["state_dict"]["weight"] = torch.zeros(100_000)
        with pytest.raises(OSError, match="No space left"):
            WholeFiles().save_checkpoint(large, path)
        assert read_checkpoint(path)["state_dict"]["weight"][0] == 1
        assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_checkpoint_lies_in_its_own_folder_while_it_is_written(tmp_path, monkeypatch):
    """On the file system that it is renamed on, whatever that of the system's temporary folder."""
    written = []
    write_bytes = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: (written.append(path), write_bytes(path, data))[1])
    WholeFiles().save_checkpoint(checkpoint(1), tmp_path / "last.ckpt")
    assert [path.parent for path in written] == [tmp_path]


def test_a_checkpoint_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(CheckpointError, match="not finite"):
        WholeFiles().save_checkpoint(checkpoint(float("nan")), tmp_path / "last.ckpt")
    assert not any(tmp_path.iterdir())


def test_a_second_training_in_a_run_folder_is_refused(experiment_file, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(DataError, match="in use by another `segcode train`"):
        train(read_experiment(experiment_file), tmp_path, progress=False)


def test_the_run_folder_of_a_killed_process_is_free(experiment_file, tmp_path):
    script = (
        "from segcode.files import alone; from pathlib import Path;"
        f"lock = alone(Path({str(tmp_path)!r}), 'other'); lock.__enter__(); print(1, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(DataError, match="in use"):
            train(read_experiment(experiment_file), tmp_path, progress=False)
        process.kill()
        process.wait()
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(read_experiment(experiment_file), tmp_path, resume=True, progress=False)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (("optimiser.learning_rate=1e30",), TrainingError, r"the loss is (nan|inf) in epoch 1, (step \d|val)"),
        (
            ("optimiser.learning_rate=1e6", "optimiser.gradient_norm=0.0"),
            (TrainingError, CheckpointError),
            "finite|loss is",
        ),
    ],
)
def test_a_training_that_diverges_stops_and_leaves_no_model(experiment_file, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        train(read_experiment(experiment_file, changes), tmp_path, progress=False)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "change",
    ["model.width=2000000", "model.code_size=2000000000", "model.size=[40000, 40000]", "model.code_width=1000000000"],
)
def test_a_training_that_this_machine_cannot_hold_is_refused(experiment_file, tmp_path, change):
    changes = [change] if "code_width" not in change else [change, 'model.code_sees="prediction"']
    with pytest.raises(ConfigError, match=r"needs at least .* GB|makes no network"):
        train(read_experiment(experiment_file, changes), tmp_path, progress=False)


def test_one_image_is_enough_to_train_on(experiment_file, tmp_path):
    names = [str(number) for number in range(1, 8)]
    leave_out = f"data.leave_out={names}"
    changes = [leave_out, 'data.validation="train"', "epochs=1"]
    assert train(read_experiment(experiment_file, changes), tmp_path, progress=False).is_dir()


def test_a_batch_of_one_pixel_is_refused(experiment_file, tmp_path):
    changes = ["model.size=[16, 16]", "batch=1", "epochs=1"]
    with pytest.raises(ConfigError, match=r"batch norm needs two: set model\.size or batch to more"):
        train(read_experiment(experiment_file, changes), tmp_path, progress=False)


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1)])
def test_images_of_any_shape_are_trained_on(experiment_file, tmp_path, size):
    root = Path(shutil.copytree(experiment_file.parent, tmp_path / "data"))
    for path in root.rglob("*/train/*.png"):
        shape = (*size, 3) if "images" in path.parts else size
        Pillow.fromarray(np.ones(shape, np.uint8)).save(path)
    changes = [f'data.root="{root}"', "epochs=1"]
    assert train(read_experiment(experiment_file, changes), tmp_path / "out", progress=False).is_dir()


def test_a_training_split_of_void_alone_is_refused(experiment_file, tmp_path):
    root = Path(shutil.copytree(experiment_file.parent, tmp_path / "data"))
    for path in (root / "labels" / "train").iterdir():
        Pillow.fromarray(np.full((32, 48), 255, np.uint8)).save(path)
    with pytest.raises(DataError, match="no pixel of the split 'train' is labelled"):
        train(read_experiment(experiment_file, [f'data.root="{root}"']), tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "model").exists()


def test_a_training_split_without_labels_is_refused(experiment_file, tmp_path):
    root = Path(shutil.copytree(experiment_file.parent, tmp_path / "data"))
    shutil.rmtree(root / "labels" / "train")
    with pytest.raises(DataError, match="label"):
        train(read_experiment(experiment_file, [f'data.root="{root}"']), tmp_path / "out", progress=False)
