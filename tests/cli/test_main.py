import errno
import json
import subprocess
import sys
from typing import get_args

import pytest
import typer
from command_line import segcode
from typer.testing import CliRunner

from segcode import cli
from segcode.cli import app, main
from segcode.errors import ConfigError
from segcode.model.shipped import find_model, shipped_models
from segcode.truth.truth import Extent

COMMANDS = (
    "demo", "train", "train-rivals", "predict", "refine", "refine-folder", "sample", "evaluate", "clicks",
    "calibration", "review", "export", "export-job", "data check", "data draw",
)  # fmt: skip


HELP = """
from segcode.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_command_is_registered_once():
    names = [command.callback.__name__ for command in app.registered_commands]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("command", ["refine", "refine-folder", "sample"])
def test_commands_that_take_extents_explain_all_three(command):
    lines = [line.split() for line in segcode(command, "--help").out.splitlines()]
    assert {line[0] for line in lines if line} >= set(get_args(Extent))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command):
    text = segcode(*command.split(), "--help").out
    assert f"Example: segcode {command}" in text


def test_help_lists_the_commands():
    text = segcode("--help").out
    assert all(command.split()[0] in text for command in COMMANDS)


@pytest.mark.parametrize("code", ["import segcode", HELP], ids=["import", "help"])
def test_the_package_and_its_help_import_nothing_heavy(code):
    heavy = "torch lightning kornia numpy scipy PIL matplotlib fastapi"
    ran = python(f"{code}\nimport sys; sys.exit(' '.join(m for m in {heavy!r}.split() if m in sys.modules))")
    assert ran.stderr.strip() == ""


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        ("train x.toml", "lightning", "train"),
        ("train-rivals streets --data streets -o x", "kornia", "train"),
        ("annotate --model streets", "fastapi", "serve"),
        ("annotate --model streets", "uvicorn", "serve"),
        ("evaluate --data streets --model streets -o x", "matplotlib", "eval"),
        ("clicks --data streets --model streets -o x", "matplotlib", "eval"),
        ("calibration --data streets --model streets -o x", "matplotlib", "eval"),
    ],
)
def test_a_command_without_its_extra_says_how_to_install_it(command, module, extra):
    ran = python(f"import sys; sys.modules[{module!r}] = None\nfrom segcode.cli import main; main({command.split()})")
    assert ran.returncode == 2
    assert ran.stderr.endswith(f"pip install 'segcode[{extra}]'\n")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["clicks --data streets -o out", "evaluate --data streets --truth road -o out"])
def test_nothing_is_measured_without_a_model_and_the_shipped_ones_are_listed(command):
    ran = segcode(*command.split())
    assert ran.code == 2
    assert "give --model MODEL" in ran.err
    for name in shipped_models():
        purpose = json.loads((find_model(name) / "config.json").read_text(encoding="utf-8"))["model"]["purpose"]
        assert f"  {name}: {purpose}" in ran.err.splitlines()


def test_version_is_that_of_the_package():
    assert segcode("--version").out.startswith("segcode 0.")


@pytest.fixture
def failing(monkeypatch):
    """Makes `segcode` without a command line raise."""

    def install(error):
        def fail(arguments):
            raise error

        monkeypatch.setattr(cli, "app", fail)

    return install


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("epochs is 0: give at least 1"), 2, "error: epochs is 0: give at least 1"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: the disk: No space left on device: free some"),
        (PermissionError(errno.EACCES, "Permission denied", "/out"), 1, "error: /out: Permission denied: change its"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/out"), 1, "error: /out: Is a directory: give a file"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/a"), 1, "error: /a: Not a directory: a file is where"),
        (FileExistsError(errno.EEXIST, "File exists", "/a"), 1, "error: /a: File exists: a file is where a folder"),
        (OSError(errno.EIO, "Input/output error", "/a"), 1, "error: /a: Input/output error\n"),
    ],
)
def test_what_is_no_bug_is_one_line_and_an_exit_code(failing, capsys, error, code, message):
    failing(error)
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == code
    text = capsys.readouterr().err
    assert text.startswith(message)
    assert text.count("\n") == 1


def test_a_bug_keeps_its_traceback(failing):
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main([])


def test_stopping_by_hand_is_130():
    stopped = typer.Typer(pretty_exceptions_enable=app.pretty_exceptions_enable)

    @stopped.command()
    def command():
        raise KeyboardInterrupt

    assert CliRunner().invoke(stopped).exit_code == 130


@pytest.mark.parametrize("line", ["predikt", "predict", "predict a.png --model streets -o out --device gpu"])
def test_a_wrong_command_line_is_2_and_no_traceback(line):
    ran = segcode(*line.split())
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_a_device_is_known_before_the_work_starts(tmp_path):
    assert "<auto|cpu|cuda>" in segcode("predict", "--help").out
    ran = segcode("predict", "a.png", "--model", "streets", "-o", tmp_path, "--device", "gpu")
    assert "cuda" in ran.err
