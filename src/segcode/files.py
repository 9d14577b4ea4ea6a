"""Files and folders that are complete or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Final
from uuid import uuid4

from segcode.errors import DataError

LONGEST_NAME: Final = 255
"""Bytes of a file's name that the usual file systems allow."""

UNFINISHED: Final = ".segcode-"
"""How the names of files and folders begin that are not finished."""

_STARTED: Final = time()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write a file to; at the end of the block the file takes its place.

    The content and the name are on the disk when the block has ended, and the content is there before the name changes,
    so a crash or a power failure leaves the old file or the new one. If the block raises, the old file stays. What a
    killed run left of the same file is removed. Missing parent folders are created.

    Raises:
        DataError: if the name is too long.
    """
    unfinished = _temporary(path, lambda place: place.touch(exist_ok=False))
    try:
        yield unfinished
        _flush(unfinished)
        unfinished.replace(path)
    except BaseException:  # not in the end: by then another thread may write to a file of this name
        unfinished.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside `folder` to write files to; at the end of the block it takes its place.

    As with `replacing`, an old folder stays if the block raises; else it is deleted once the new one is in its place.
    """
    unfinished = _temporary(folder, Path.mkdir)
    try:
        yield unfinished
        for path in (*unfinished.rglob("*"), unfinished):
            (flush_folder if path.is_dir() else _flush)(path)
        _swap(unfinished, folder)
    except BaseException:
        _remove(unfinished)
        raise
    flush_folder(folder.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text by `replacing`; names of files that are no UTF-8 stay the bytes that they are."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="surrogateescape")


def _temporary(path: Path, make: Callable[[Path], None]) -> Path:
    """A hidden file or folder beside `path`, just made; its name is short, however long that of `path` is.

    The name follows from that of `path`: what is there from before this process began is left over from a killed run,
    and is removed. What is younger belongs to another thread or process; then the name gets a random end.
    """
    name = os.fsencode(path.name)
    if len(name) > LONGEST_NAME:
        raise DataError(f"{path} has a name of {len(name)} bytes, more than {LONGEST_NAME}: choose a shorter one")
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f"{UNFINISHED}{sha256(name).hexdigest()[:16]}")
    with suppress(FileNotFoundError):
        if place.stat().st_mtime < _STARTED:
            _remove(place)
    try:
        make(place)
    except FileExistsError:
        place = place.with_name(f"{place.name}-{uuid4().hex[:8]}")
        make(place)
    return place


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _swap(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; a folder of that name is moved aside first, since a rename cannot replace it."""
    if not folder.exists():
        new.rename(folder)
        return
    aside = new.with_name(f"{new.name}.old")
    _remove(aside)
    folder.rename(aside)
    try:
        new.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    _remove(aside)
