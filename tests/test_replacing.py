import os
from pathlib import Path

import pytest

from segcode.files import replacing, replacing_folder, write_text


def test_a_file_is_written_into_new_folders_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "größer"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.exists()))
    write_text(path, "new")
    assert seen == [False]


def test_a_folder_replaces_another_completely(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "model"
    for name in ("a", "b"):
        with replacing_folder(folder) as unfinished:
            (unfinished / name).write_text(name)
        assert [path.name for path in folder.iterdir()] == [name]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    with replacing_folder(folder) as unfinished:
        (unfinished / "a").write_text("old")
    with pytest.raises(OSError, match="full"), replacing_folder(folder) as unfinished:
        raise OSError("full")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if target == folder and not self.name.endswith(".old"):
            raise OSError("busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="busy"), replacing_folder(folder) as unfinished:
        (unfinished / "a").write_text("new")
    assert (folder / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]
