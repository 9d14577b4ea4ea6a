import os
import signal
import sys
from pathlib import Path

import pytest
from command_line import segcode
from lightning.fabric.utilities.exceptions import MisconfigurationException

from segcode.training import run

EXPERIMENT = """
epochs = 7
[data]
kind = "camvid"
[hardware]
accelerator = "cpu"
"""


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The arguments that the training gets, which does not run: its own tests do that."""
    calls = []

    def train(experiment, out, resume, progress):
        calls.append((experiment, out, resume))
        return out / "model"

    monkeypatch.setattr(run, "train", train)
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(EXPERIMENT)
    return calls


def test_the_file_alone_decides_unless_told_otherwise(started):
    ran = segcode("train", "small.toml")
    assert ran.code == 0, ran.err
    ((experiment, out, resume),) = started
    assert (experiment.epochs, experiment.data.root, experiment.hardware.accelerator) == (7, None, "cpu")
    assert (out, resume) == (Path("runs/small"), False)
    assert "The model is in runs/small/model" in ran.out


def test_options_replace_what_the_file_says(started, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    segcode(
        "train",
        "small.toml",
        "--root",
        "CamVid",
        "-o",
        "x",
        "--resume",
        "--set",
        "epochs=2",
        "--set",
        "model.width=4",
        "--device",
        "cuda",
    )
    ((experiment, out, resume),) = started
    assert (experiment.epochs, experiment.data.root, experiment.hardware.accelerator) == (2, Path("CamVid"), "gpu")
    assert (experiment.model.width, experiment.data.kind) == (4, "camvid")
    assert (out, resume) == (Path("x"), True)


def leave_as_lightning_does(*arguments):
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


def test_ctrl_c_is_130_and_tells_how_to_go_on(started, monkeypatch):
    monkeypatch.setattr(run, "train", leave_as_lightning_does)
    ran = segcode("train", "small.toml")
    assert ran.code == 130
    assert "Stopped before the first epoch was complete: the same command starts again" in ran.err
    last = Path("runs/small/checkpoints/last.ckpt")
    last.parent.mkdir(parents=True)
    last.touch()
    assert "The same command with --resume goes on" in segcode("train", "small.toml").err


def kill_this_process(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_is_143_and_tells_how_to_go_on(started, monkeypatch):
    monkeypatch.setattr(run, "train", kill_this_process)
    monkeypatch.setattr(run, "train_folds", kill_this_process)
    before = signal.getsignal(signal.SIGTERM)
    ran = segcode("train", "small.toml")
    assert ran.code == 143
    assert "Stopped before the first epoch was complete" in ran.err
    ran = segcode("train", "small.toml", "--folds", "2")
    assert ran.code == 143
    assert "Stopped. The same command goes on from the last epoch in runs/small" in ran.err
    assert signal.getsignal(signal.SIGTERM) == before


def test_any_other_exit_is_kept(started, monkeypatch):
    monkeypatch.setattr(run, "train", lambda *arguments: sys.exit(3))
    assert segcode("train", "small.toml").code == 3


@pytest.mark.parametrize(("rank", "said"), [(None, 1), ("0", 1), ("1", 0)])
def test_of_several_processes_one_tells_where_the_model_is(started, monkeypatch, rank, said):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert segcode("train", "small.toml").out.count("The model is in") == said


def test_hardware_that_is_not_there_is_one_line(started, monkeypatch):
    def refuse(*arguments):
        raise MisconfigurationException("No supported gpu backend found!\n")

    monkeypatch.setattr(run, "train", refuse)
    ran = segcode("train", "small.toml")
    assert ran.code == 2
    assert "small.toml: this machine cannot do what [hardware] asks for: No supported gpu backend found!" in ran.err


def test_a_folder_or_a_closed_file_is_no_experiment(started, monkeypatch):
    Path("folder.toml").mkdir()
    ran = segcode("train", "folder.toml")
    assert (ran.code, "folder.toml cannot be read (Is a directory): give the path of a TOML file" in ran.err) == (
        2,
        True,
    )

    def closed(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", closed)
    ran = segcode("train", "small.toml")
    assert (ran.code, "small.toml cannot be read (Permission denied)" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, [], "bad.toml cannot be read (No such file or directory): give the path of a TOML file"),
        ("epoch = 3", [], "unknown key 'epoch': did you mean 'epochs'?"),
        ("epochs = ", [], "bad.toml is not valid TOML"),
        ("", ["--device", "cuda"], "PyTorch sees no GPU"),
        ("", ["--set", "epochs=0"], "epochs is 0"),
        ("", ["--set", "epochs"], "'epochs' is no KEY=VALUE"),
        ("", ["--set", "model.wide=3"], "unknown key 'wide'"),
    ],
)
def test_a_wrong_experiment_is_told_before_anything_starts(started, monkeypatch, content, options, message):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if content is not None:
        Path("bad.toml").write_text(content)
    ran = segcode("train", "bad.toml", *options)
    assert ran.code == 2
    assert message in ran.err
    assert not started


def test_folds_say_where_their_predictions_are(started, monkeypatch):
    asked = []

    def train_folds(experiment, folds, out, progress):
        asked.append((experiment.epochs, folds, out))
        return out / "predictions"

    monkeypatch.setattr(run, "train_folds", train_folds)
    ran = segcode("train", "small.toml", "--folds", "sequence", "-o", "x")
    assert ran.code == 0, ran.err
    assert asked == [(7, "sequence", Path("x"))]
    assert "x/predictions" in ran.out
    assert not started
