"""Files and folders that are complete or not there."""

from __future__ import annotations

import csv
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Final
from uuid import uuid4

from filelock import FileLock, Timeout

from segcode.errors import DataError

LONGEST_NAME: Final = 255
"""Bytes of a file's name that the usual file systems allow."""

UNFINISHED: Final = ".segcode-"
"""How the names of files and folders begin that are not finished."""

_NO_LOCKS: Final = (errno.ENOTSUP, errno.ENOLCK)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write a file to; at the end of the block the file takes its place.

    The content and the name are on the disk when the block has ended, and the content is there before the name changes,
    so a crash or a power failure leaves the old file or the new one. If the block raises, the old file stays. What a
    killed run left of the same file is removed. Missing parent folders are created.

    Raises:
        DataError: if the name is too long.
    """
    with _temporary(path, lambda place: place.touch(exist_ok=False)) as unfinished:
        if path.is_dir():  # else the error names the temporary path
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        yield unfinished
        _flush(unfinished)
        unfinished.replace(path)
    flush_folder(path.parent)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside `folder` to write files to; at the end of the block it takes its place.

    As with `replacing`, an old folder stays if the block raises; else it is deleted once the new one is in its place.
    """
    with _temporary(folder, Path.mkdir) as unfinished:
        yield unfinished
        for path in (*unfinished.rglob("*"), unfinished):
            (flush_folder if path.is_dir() else _flush)(path)
        _swap(unfinished, folder)
    flush_folder(folder.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text by `replacing`; names of files that are no UTF-8 stay the bytes that they are."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="surrogateescape")


def comma_separated(rows: Sequence[Mapping[str, object]]) -> str:
    """CSV with a header line; a cell that a row lacks is empty."""
    text = StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def require_short_name(path: Path) -> None:
    """Raises DataError if the name of a file is longer than file systems allow."""
    length = len(os.fsencode(path.name))
    if length > LONGEST_NAME:
        raise DataError(f"{path} has a name of {length} bytes, more than {LONGEST_NAME}: choose a shorter one")


@contextmanager
def alone(folder: Path, command: str, cure: str = "end that one, or give -o") -> Iterator[None]:
    """Holds a folder, which is made if it is not there, for this process alone.

    Where a file system has no locks, which is so of some network file systems, that is said and nothing is held.

    Raises:
        DataError: if another process holds it, on this machine or another; the message names the command and the cure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"{folder} is in use by another `{command}`: {cure}") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        print(f"{folder} cannot be locked ({error.strerror}): start no second `{command}` in it", file=sys.stderr)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _temporary(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A hidden file or folder beside `path`, just made; its name is short, however long that of `path` is.

    Who writes holds a lock on it. The name follows from that of `path`: what is there without a lock is left over from
    a killed run, and is removed. If another thread or process holds it, or there are no locks, the name gets a random
    end. What is there when the block raises is removed.
    """
    require_short_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f"{UNFINISHED}{sha256(os.fsencode(path.name)).hexdigest()[:16]}")
    with suppress(OSError):  # there is none, it is another's, or another user's
        if (left_over := _lock(place)) is not None:
            _remove(place)
            os.close(left_over)
    lock = None
    try:
        make(place)
        lock = _lock(place)
    except (FileExistsError, FileNotFoundError, BlockingIOError):
        place = place.with_name(f"{place.name}-{uuid4().hex[:8]}")
        make(place)
    try:
        yield place
    except BaseException:  # not in the end: by then another thread may write to a file of this name
        _remove(place)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _lock(place: Path) -> int | None:
    """Locks a file or folder until the descriptor that is returned is closed; None where there are no locks.

    Raises:
        BlockingIOError: if another thread or process holds it.
        FileNotFoundError: if it is gone.
    """
    descriptor = os.open(place, os.O_RDONLY if place.is_dir() else os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), place.stat()):
            return descriptor
        raise FileNotFoundError(place)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, FileNotFoundError | BlockingIOError):
            raise
        return None


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
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _swap(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; a folder of that name is moved aside first, since a rename cannot replace it."""
    aside = new.with_name(f"{new.name}.old")
    if folder.exists():
        _remove(aside)
        folder.rename(aside)
        try:
            new.rename(folder)
        except BaseException:
            aside.rename(folder)
            raise
    else:
        new.rename(folder)
    _remove(aside)
