"""Files and folders that are complete or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write a file to; at the end of the block the file takes its place.

    The content is on the disk before the name changes, so a crash or a power failure leaves the old file or the new
    one. If the block raises, the old file stays. Missing parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _temporary(path)
    try:
        yield unfinished
        _flush(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside `folder` to write files to; at the end of the block it takes its place.

    As with `replacing`, an old folder stays if the block raises; else it is deleted once the new one is in its place.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _temporary(folder)
    unfinished.mkdir()
    try:
        yield unfinished
        for path in unfinished.rglob("*"):
            if path.is_file():
                _flush(path)
        _swap(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text by `replacing`."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}")


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _swap(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; a folder of that name is moved aside first, since a rename cannot replace it."""
    if not folder.exists():
        new.rename(folder)
        return
    aside = new.with_name(f"{new.name}.old")
    folder.rename(aside)
    try:
        new.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
