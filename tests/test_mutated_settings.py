"""Files that a user wrote or that lay on a bad disk: whatever is changed in them, the answer is right or one line.

Wrong would be, for a file that a user writes (an experiment, classes.toml): that a value which the file gives is not
the one that is used. For a file that segcode writes (a model, constants of `segcode fit`): that anything but what was
written is used. A traceback is wrong for both. `SEGCODE_SOAK=1` tries ten times as many changes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from segcode.classes import ClassSet
from segcode.data.folder import read_class_file
from segcode.errors import SegcodeError
from segcode.field.constants import SHIPPED, load_constants
from segcode.model.checkpoint import LoadedModel, load_model, save_model
from segcode.training.experiment import read_experiment

CHANGES = 1000 if os.environ.get("SEGCODE_SOAK") else 100
ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.toml"))

TOKENS = (
    *("nan", "inf", "-inf", "1e400", "-1", "0", "1", "255", "256", "3.0", "2.5", str(2**31), str(2**63), str(2**70)),
    *("9" * 5000, "true", "null", '""', '"a"', "'x'", "[]", "{}", "[[]]", "[1, 2]", "1979-05-27", "0x10", "1_000"),
    *("[" * 2000, "{" * 500, '"\\ud800"', '"\\u0000"', "\x00", "é", "#", "=", ",", ":", "\n", '"""', "a.b = 1"),
)
CLASSES = """
void = [255]
[[class]]
name = "road"
colour = [128, 64, 128]
id = 7
[[class]]
name = "car"
colour = [64, 0, 128]
id = 26
[[class]]
name = "sky"
colour = [70, 130, 180]
id = 23
"""


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One to three changes: of a bit, a piece, a line, or of what stands between separators."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(content) + 1)
        kind = draw.randrange(7)
        if kind == 0 and content:
            changed = bytearray(content)
            changed[at % len(content)] ^= 1 << draw.randrange(8)
            content = bytes(changed)
        elif kind == 1:
            content = content[:at]
        elif kind == 2:
            content = content[:at] + content[at + draw.randint(1, 20) :]
        elif kind == 3:
            content = content[:at] + draw.choice(TOKENS).encode("utf-8", "surrogatepass") + content[at:]
        elif kind == 4:
            lines = content.split(b"\n")
            line = draw.randrange(len(lines))
            lines.insert(draw.randrange(len(lines) + 1), lines[line] if draw.random() < 0.5 else lines.pop(line))
            content = b"\n".join(lines)
        else:
            content = _with_another_value(content, draw)
    return content


def _with_another_value(content: bytes, draw: random.Random) -> bytes:
    places = [index for index, byte in enumerate(content) if byte in b"=:,[ "]
    if not places:
        return content
    start = draw.choice(places) + 1
    ends = [index for index in range(start, min(len(content), start + 40)) if content[index] in b",]}\n"]
    token = draw.choice(TOKENS).encode("utf-8", "surrogatepass")
    return content[:start] + token + content[ends[0] if ends else start :]


def as_read(read: Callable[[], object]) -> object | None:
    """The result of reading, or None if it is refused in one line."""
    try:
        return read()
    except SegcodeError as error:
        message = str(error)
    assert 10 < len(message) < 2000
    assert "\n" not in message
    return None


def assert_holds(given: object, used: object, where: str = "") -> None:
    """Every value of a file is the one that is used."""
    if isinstance(given, dict):
        assert isinstance(used, dict)
        for key, value in given.items():
            assert_holds(value, used[key], f"{where}.{key}")
    elif isinstance(given, list):
        assert isinstance(used, list | tuple), where
        assert len(given) == len(used), where
        for one, other in zip(given, used, strict=True):
            assert_holds(one, other, where)
    else:
        assert isinstance(given, bool) == isinstance(used, bool), where
        assert str(used) == given if isinstance(used, Path) else used == given, where


def test_a_changed_experiment_is_read_as_it_stands_or_refused(tmp_path):
    path, read = tmp_path / "experiment.toml", 0
    for number in range(CHANGES):
        draw = random.Random(number)
        path.write_bytes(mutated(draw.choice(EXPERIMENTS).read_bytes(), draw))
        if (experiment := as_read(lambda: read_experiment(path))) is not None:
            assert_holds(tomllib.loads(path.read_text(encoding="utf-8")), asdict(experiment))
            read += 1
    assert 0 < read < CHANGES


def test_a_changed_setting_of_the_command_line_is_read_as_it_stands_or_refused():
    for number in range(CHANGES):
        draw = random.Random(number)
        key = draw.choice(["epochs", "model.width", "data", "epochs.x", "", ".", "model.", "optimiser.learning_rate"])
        change = mutated(f"{key}={draw.choice(TOKENS)}".encode("utf-8", "surrogatepass"), draw)
        text = change.decode("utf-8", "surrogateescape")
        as_read(lambda text=text: read_experiment(EXPERIMENTS[0], [text]))


def test_changed_classes_are_read_as_they_stand_or_refused(tmp_path):
    path, read = tmp_path / "classes.toml", 0
    for number in range(CHANGES):
        path.write_bytes(mutated(CLASSES.encode(), random.Random(number)))
        if (found := as_read(lambda: read_class_file(path))) is not None:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            classes = found.classes
            assert_holds([table["name"] for table in tables["class"]], list(classes.names))
            assert_holds([table["colour"] for table in tables["class"]], list(classes.colours))
            assert all(0 <= value <= 255 for colour in classes.colours for value in colour)
            assert_holds([table["id"] for table in tables["class"] if "id" in table], list(classes.raw_ids))
            read += 1
    assert 0 < read < CHANGES


def test_changed_constants_are_those_that_were_fitted_or_refused(tmp_path):
    path, fitted = tmp_path / "constants.json", load_constants()
    for number in range(CHANGES):
        path.write_bytes(mutated(SHIPPED.read_bytes(), random.Random(number)))
        assert as_read(lambda: load_constants(path)) in (None, fitted)


@pytest.fixture
def model(tmp_path, tiny_model) -> Path:
    classes = ClassSet(("a", "b", "c", "d"), ((1, 2, 3), (4, 5, 6), (7, 8, 9), (9, 9, 9)))
    save_model(tmp_path / "model", LoadedModel(tiny_model, classes), "# card")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_changed_model_is_the_one_that_was_saved_or_refused(model, name, tmp_path):
    saved = load_model(model)
    weights = saved.model.state_dict()
    content = (model / name).read_bytes()
    changed = Path(shutil.copytree(model, tmp_path / "changed"))
    for number in range(CHANGES):
        draw = random.Random(number)
        (changed / name).write_bytes(mutated(content, draw) if number % 2 else in_its_header(content, draw))
        loaded = as_read(lambda: load_model(changed))
        if loaded is not None:
            assert (loaded.classes, loaded.model.config) == (saved.classes, saved.model.config)
            assert all(torch.equal(value, weights[key]) for key, value in loaded.model.state_dict().items())


def in_its_header(content: bytes, draw: random.Random) -> bytes:
    """A change of the first part, which says what the rest is."""
    return mutated(content[:2000], draw) + content[2000:]


@pytest.mark.parametrize("name", ["model", "classes"])
def test_another_config_under_a_right_digest_makes_no_traceback(model, name, tmp_path):
    """As of another program: nothing is allocated for it, and what it says is checked as a user's file is."""
    from segcode.stored import write_stored

    tables = json.loads((model / "config.json").read_text())
    del tables["sha256"]
    for number in range(CHANGES):
        draw = random.Random(number)
        try:
            changed = json.loads(mutated(json.dumps(tables[name]).encode(), draw))
            write_stored(model / "config.json", tables | {name: changed}, model / "model.safetensors")
        except (ValueError, RecursionError):
            continue
        as_read(lambda: load_model(model))


def test_another_header_under_a_right_digest_makes_no_traceback(model):
    from segcode.stored import write_stored

    path = model / "model.safetensors"
    tables = json.loads((model / "config.json").read_text())
    del tables["sha256"]
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    for number in range(CHANGES):
        header = mutated(content[8 : 8 + size], random.Random(number))
        path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + size :])
        write_stored(model / "config.json", tables, path)
        as_read(lambda: load_model(model))
