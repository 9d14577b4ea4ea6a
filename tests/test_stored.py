from __future__ import annotations

import json

import pytest

from segcode.errors import CheckpointError
from segcode.field.constants import load_constants
from segcode.stored import FORMAT, read_stored, write_stored
from segcode.training.folds import read_predictions


def test_tables_are_read_as_they_were_written(tmp_path):
    tables = {"numbers": [1, 2.5, None], "text": "é", "inner": {"a": True}}
    write_stored(tmp_path / "a.json", tables)
    assert read_stored(tmp_path / "a.json", "`it`") == tables
    assert json.loads((tmp_path / "a.json").read_text())["format"] == FORMAT


def test_the_file_beside_is_covered(tmp_path):
    (tmp_path / "weights").write_bytes(b"one")
    write_stored(tmp_path / "a.json", {"a": 1}, tmp_path / "weights")
    assert read_stored(tmp_path / "a.json", "`it`", tmp_path / "weights") == {"a": 1}
    (tmp_path / "weights").write_bytes(b"two")
    with pytest.raises(CheckpointError, match=r"a\.json or weights was changed or damaged .* write it again with `it`"):
        read_stored(tmp_path / "a.json", "`it`", tmp_path / "weights")


@pytest.mark.parametrize("change", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1.0}])
def test_another_value_is_refused(tmp_path, change):
    write_stored(tmp_path / "a.json", {"a": 1})
    content = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(content | change))
    with pytest.raises(CheckpointError, match="changed or damaged"):
        read_stored(tmp_path / "a.json", "`it`")


def test_only_a_file_that_may_be_written_by_hand_needs_no_digest(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"format": FORMAT, "a": 1}))
    assert read_stored(tmp_path / "a.json", "`it`", by_hand=True) == {"a": 1}
    with pytest.raises(CheckpointError, match="lacks 'sha256'"):
        read_stored(tmp_path / "a.json", "`it`")
    (tmp_path / "weights").write_bytes(b"one")
    with pytest.raises(CheckpointError, match="lacks 'sha256'"):
        read_stored(tmp_path / "a.json", "`it`", tmp_path / "weights")


@pytest.mark.parametrize("read", [lambda path: load_constants(path / "x.json"), read_predictions])
def test_a_later_format_is_refused_with_both_versions_wherever_something_is_stored(tmp_path, read):
    for name in ("x.json", "predictions.json"):
        write_stored(tmp_path / name, {"format": FORMAT + 1, "constants": {}, "sha256_of": {}, "classes": []})
    with pytest.raises(
        CheckpointError, match=rf"has format {FORMAT + 1}, and segcode \S+ reads format {FORMAT}: update"
    ):
        read(tmp_path)
