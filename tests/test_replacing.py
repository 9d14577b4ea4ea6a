import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_ISDIR

import pytest

from segcode.errors import DataError
from segcode.files import alone, replacing, replacing_folder, write_text


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


def test_the_content_is_on_the_disk_before_the_name_changes_and_the_name_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda file: seen.append((S_ISDIR(os.fstat(file).st_mode), path.exists())))
    write_text(path, "new")
    assert seen == [(False, False), (True, True)]


@pytest.mark.parametrize("length", [1, 236, 254, 255])
def test_every_name_that_a_file_may_have_can_be_written(tmp_path: Path, length: int) -> None:
    for letter in ("a", "ü"):
        path = tmp_path / (letter * (length // len(letter.encode())) or letter)
        write_text(path, "new")
        write_text(path, "newer")
        assert path.read_text() == "newer"
        with replacing_folder(tmp_path / "models" / path.name) as unfinished:
            (unfinished / "a").touch()
        assert (tmp_path / "models" / path.name / "a").exists()


def test_a_name_that_is_too_long_is_refused_with_its_length(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has a name of 256 bytes, more than 255: choose a shorter one"):
        write_text(tmp_path / ("ü" * 128), "new")


def name_while_written(path: Path) -> Path:
    """The temporary file of `path`."""
    with replacing(path) as unfinished:
        pass
    path.unlink()
    return unfinished


def test_what_a_killed_run_left_goes_when_the_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    name_while_written(path).write_text("half")
    write_text(path, "new")
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_process_is_writing_stays_however_old_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    script = f"""
from pathlib import Path
from segcode.files import replacing
with replacing(Path({str(path)!r})) as unfinished:
    unfinished.write_text("slow")
    print(unfinished, flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        other = Path(process.stdout.readline().strip())
        os.utime(other, (0, 0))
        write_text(path, "quick")
        assert sorted(tmp_path.iterdir()) == sorted([other, path])
        assert (path.read_text(), other.read_text()) == ("quick", "slow")
        process.communicate("\n")
    assert path.read_text() == "slow"
    assert list(tmp_path.iterdir()) == [path]


def test_without_locks_files_are_written_and_what_may_be_anothers_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    path = tmp_path / "a.txt"
    left = name_while_written(path)
    write_text(path, "one")
    assert list(tmp_path.iterdir()) == [path]
    left.write_text("half")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert sorted(tmp_path.iterdir()) == sorted([left, path])


@pytest.mark.parametrize("reason", [errno.ENOTSUP, errno.ENOLCK])
def test_a_folder_that_cannot_be_locked_is_used_and_the_danger_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reason: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("fcntl.flock", refuse)
    with alone(tmp_path / "run", "segcode train"):
        assert (tmp_path / "run").is_dir()
    error = capsys.readouterr().err
    assert f"run cannot be locked ({os.strerror(reason)}): start no second `segcode train` in it" in error


def test_a_folder_that_another_machine_or_process_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(*_: object) -> None:  # what a network file system answers for a lock of another machine, too
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("fcntl.flock", held)
    with (
        pytest.raises(DataError, match="run is in use by another `segcode train`: end that one"),
        alone(tmp_path / "run", "segcode train"),
    ):
        pass


def test_threads_that_write_one_file_do_not_mix(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.txt", [letter * 100_000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(path, text), texts))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_a_killed_run_left_goes_when_it_is_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with replacing_folder(folder) as unfinished:
        left = unfinished
    for place in (left, left.with_name(f"{left.name}.old")):
        (place / "deep").mkdir(parents=True)
    with replacing_folder(folder) as unfinished:
        (unfinished / "a").touch()
    assert list(tmp_path.iterdir()) == [folder]


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


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        write_text(tmp_path / "a.png", "new")
    assert raised.value.filename == str(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
