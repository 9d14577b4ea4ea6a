"""The log of an image's marks: appended to, never rewritten, so that whatever was painted can be found again."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from segcode.errors import DataError
from segcode.server.library import Photograph
from segcode.server.marks import AnyMark, Mark

_ANOTHER: Final = "put that image back and start segcode again, or move this file away to begin again"


class Entry(BaseModel):
    """A line of the log: which image it is about, in the first one, and in each other one thing that was done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: tuple[int, int] | None = None
    """Rows and columns; the first line has it."""
    digest: str | None = None
    """SHA-256 of the image's file, beside its size; logs from before have none."""
    mark: AnyMark | None = None
    step: Literal["undo", "redo"] | None = None
    done: bool | None = None


class Document:
    """The marks of an image, how many of them count, and whether a person called it done."""

    def __init__(self) -> None:
        self.done = False
        self._marks: list[Mark] = []
        self._count = 0
        self._known: set[str] = set()

    def apply(self, entry: Entry) -> None:
        """Take over an entry; an undo or redo of nothing, and a mark that is there already, change nothing.

        An entry that changes the marks of an image that was done takes it back into work.
        """
        before = self.marks
        if entry.mark is not None:
            if entry.mark.id in self._known:
                return
            self._marks[self._count :] = [entry.mark]
            self._count += 1
            self._known.add(entry.mark.id)
        self._count += (entry.step == "redo" and self.can_redo) - (entry.step == "undo" and self.can_undo)
        if entry.done is not None:
            self.done = entry.done
        elif self.marks != before:
            self.done = False

    def has(self, mark: str) -> bool:
        """Whether a mark of this id was ever made."""
        return mark in self._known

    @property
    def marks(self) -> list[Mark]:
        """Those that count, in their order."""
        return self._marks[: self._count]

    @property
    def can_undo(self) -> bool:
        """Whether a mark counts."""
        return self._count > 0

    @property
    def can_redo(self) -> bool:
        """Whether a mark was undone since the last one was made."""
        return self._count < len(self._marks)

    @property
    def state(self) -> Literal["untouched", "in work", "done"]:
        """The state that the list of images shows."""
        if self.done:
            return "done"
        return "in work" if self._count else "untouched"


class Journal:
    """The log as a file of a JSON object a line."""

    def __init__(self, path: Path, photograph: Photograph) -> None:
        """Of an image; no file is made before there is something to write."""
        self.path = path
        self._photograph = photograph
        self._digest: str | None = None  # of the image that the log is about
        self._checked: str | None = None  # of the image that is there

    def read(self) -> Document:
        """The document that the log leads to; an empty one if there is none.

        A last line that was cut off, as by a loss of power, is left out.

        Raises:
            DataError: if the file is damaged elsewhere, or is about an image of another size.
        """
        document = Document()
        if not self.path.exists():
            return document
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise DataError(f"{self.path}: line {number} is damaged ({reason}): repair or remove it") from None
            image, now = entry.image, self._photograph.size
            if image is not None and image != now:
                sizes = f"of {image[0]} x {image[1]} pixels, and {self._photograph.path} has {now[0]} x {now[1]}"
                raise DataError(f"{self.path} is about an image {sizes}: {_ANOTHER}")
            self._digest = entry.digest or self._digest
            document.apply(entry)
        return document

    def check_image(self) -> None:
        """Read the image's file once, and compare it with the one that the log is about, if that is known.

        Raises:
            DataError: if it is another one.
            OSError: if it cannot be read.
        """
        if self._checked is None:
            digest = self._photograph.digest()
            if self._digest not in (None, digest):
                raise DataError(f"{self.path} is about another image than {self._photograph.path}: {_ANOTHER}")
            self._checked = digest

    def append(self, entry: Entry) -> None:
        """Write an entry; once this returns it is on the disk.

        Raises:
            DataError: if the log is about another image.
            OSError: if it cannot be written, as on a full disk, or the image not be read; the log is then as it was.
        """
        self.check_image()
        first_line = Entry(image=self._photograph.size, digest=self._checked)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: bytes that a full disk refused must not be written later, when the file is closed.
        with self.path.open("ab", buffering=0) as file:
            end = _end_of_last_line(file.seek(0, os.SEEK_END), self.path)
            file.truncate(end)
            lines = [entry] if end else [first_line, entry]
            content = b"".join(line.model_dump_json(include=line.model_fields_set).encode() + b"\n" for line in lines)
            try:
                if file.write(content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise


def _end_of_last_line(length: int, path: Path) -> int:
    """Bytes up to the last line that is not cut off."""
    if length == 0:
        return 0
    with path.open("rb") as file:
        file.seek(max(0, length - 1))
        if file.read(1) == b"\n":
            return length
    return path.read_bytes().rfind(b"\n") + 1
