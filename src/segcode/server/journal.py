"""The log of an image's marks: appended to, never rewritten, so that whatever was painted can be found again.

A log is a file of a JSON object a line. The first line says what the log is about; each other one, a thing that was
done. Each has a checksum over itself and all lines before it, so that no damage passes for other work.
"""

from __future__ import annotations

import errno
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from segcode.errors import DataError
from segcode.files import flush_folder
from segcode.server.library import Photograph, Stamp
from segcode.server.marks import AnyMark, Mark
from segcode.server.problems import printable
from segcode.tensors import IGNORE

VERSION: Final = 3
"""The version of the format. Formats 1 and 2 had no names, times and reviews."""

_BEGINNING: Final = b'{"crc32":"'
_LINE: Final = re.compile(rb'\{"crc32":"([0-9a-f]{8})",(.*)', re.DOTALL)
_ANOTHER: Final = "put that image back and start segcode again, or move this file away to begin again"
_CURE: Final = "put back a copy of the file, or delete this line and all after it, which keeps the work before"

Line = TypeVar("Line", bound=BaseModel)

Comment: TypeAlias = Annotated[str, Field(max_length=2000)]
Review: TypeAlias = Literal["accepted", "sent back"]
State: TypeAlias = Literal["untouched", "in work", "done", "sent back", "accepted"]
Person: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=60),
    AfterValidator(lambda name: "".join(filter(str.isprintable, name)).strip()),
]
"""The name of a person; empty if they gave none."""


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class ReplacedError(DataError):
    """The image of a log, or the log itself, is another one than when it was opened, or was removed."""


class Head(BaseModel):
    """The first line of a log: its format, the image by its file, and the classes that the labels of marks count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    image: tuple[int, int]
    """Rows and columns."""
    stamp: Stamp
    digest: str
    """SHA-256 of the file."""
    path: str
    """Of the file when the log was begun."""
    classes: tuple[str, ...]


class Entry(BaseModel):
    """One thing that was done, by whom, and when the server took it (UTC, in seconds)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mark: AnyMark | None = None
    step: Literal["undo", "redo"] | None = None
    done: bool | None = None
    flagged: bool | None = None
    comment: Comment | None = None
    review: Review | None = None
    by: Person = ""
    at: AwareDatetime = Field(default_factory=_now)

    @model_validator(mode="after")
    def _is_one(self) -> Entry:
        if sum(value is not None for _, value in self) != 3:
            raise ValueError("an entry is one mark, one step, one state, one flag, one comment or one review")
        return self


class Document:
    """The marks of an image, how many of them count, how far the work is, who did it, and comments.

    Attributes:
        done: whether a person called it done, and nothing has changed since.
        review: the verdict of another person on that, if it still holds.
        finished_by: who called it done last; None if nobody did since it was sent back or taken back into work.
        first_finished_by: who called it done first; None if nobody did.
        people: when each person did something last, the latest at the end.
        comments: the newest of each person, the latest first.
    """

    def __init__(self) -> None:
        self.done = False
        self.review: Review | None = None
        self.finished_by: str | None = None
        self.first_finished_by: str | None = None
        self.people: dict[str, datetime] = {}
        self.flagged = False
        self.comments: dict[str, str] = {}
        self._marks: list[Mark] = []
        self._count = 0
        self._known: set[str] = set()

    def apply(self, entry: Entry) -> None:
        """Take over an entry; an undo or redo of nothing, and a mark that is there already, change nothing.

        An entry that changes the marks of an image that was done takes it back into work.
        """
        self.people.pop(entry.by, None)
        self.people[entry.by] = entry.at
        before = self.marks
        if entry.mark is not None:
            if entry.mark.id in self._known:
                return
            self._marks[self._count :] = [entry.mark]
            self._count += 1
            self._known.add(entry.mark.id)
        self._count += (entry.step == "redo" and self.can_redo) - (entry.step == "undo" and self.can_undo)
        if entry.review is not None:
            self.review, self.done = entry.review, entry.review == "accepted"
            self.finished_by = self.finished_by if self.done else None
        elif entry.done is not None and entry.done != self.done:
            self.done, self.review, self.finished_by = entry.done, None, entry.by if entry.done else None
            if self.first_finished_by is None:
                self.first_finished_by = self.finished_by
        elif self.done and self.marks != before:
            self.done, self.review = False, None
        self.flagged = self.flagged if entry.flagged is None else entry.flagged
        if entry.comment is not None:
            others = {name: comment for name, comment in self.comments.items() if name != entry.by}
            self.comments = {entry.by: entry.comment, **others} if entry.comment else others

    def check_review(self, review: Review, by: str) -> None:
        """Raises DataError if a person may not give this verdict now, or has no name."""
        if not by:
            raise DataError("a review needs your name: write it on the page, or add ?by=NAME")
        if self.finished_by is None:
            raise DataError("nobody has called this image done since it was taken into work: finish it first")
        if review == "accepted" and by == self.finished_by:
            raise DataError(f"{by} has called this image done: somebody else has to accept it")

    @property
    def blank(self) -> bool:
        """Whether nobody ever made a mark or called it done."""
        return not self._marks and not self.done

    @property
    def labels(self) -> set[int]:
        """The classes of all marks, undone ones included."""
        labels = {getattr(mark, "label", None) for mark in self._marks}
        return {label for label in labels if label is not None and label != IGNORE}

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
    def state(self) -> State:
        """The state that the list of images shows."""
        if self.review is not None or self.done:
            return self.review or "done"
        return "in work" if self._count else "untouched"


class Journal:
    """The log of an image as a file."""

    def __init__(self, path: Path, photograph: Photograph, classes: tuple[str, ...]) -> None:
        """Names the log of an image for a model's classes; no file is made before there is something to write."""
        self.path = path
        self._photograph = photograph
        self._classes = classes
        self._digest: str | None = None  # of the image that the log is about
        self._stamp: Stamp | None = None  # of the image's file when its digest was taken
        self._check = self._end = self._length = 0  # of the lines that count, and of the file

    def read(self) -> Document:
        """The document that the log leads to; an empty one if there is none.

        A last line that was cut off, as by a loss of power, is left out.

        Raises:
            DataError: if the file cannot be read, is damaged elsewhere, has another format, or is about another image
                or other classes.
        """
        document = Document()
        content = _content(self.path)
        lines = _lines(content)
        for line in _parsed(self.path, lines):
            if isinstance(line, Head):
                self._take(line)
            else:
                document.apply(line)
        self._check = _checksum(lines[-1]) if lines else 0
        self._length = len(content)
        self._end = min(sum(len(line) + 1 for line in lines), self._length)
        return document

    def check_image(self) -> None:
        """Compare the image's file with the one that the log is about, or, without a log, with the one that was listed.

        Raises:
            ReplacedError: if it is another one.
            OSError: if it cannot be read.
        """
        try:
            stamp = self._photograph.stamp_now()
        except FileNotFoundError:
            if self._stamp is None:
                raise
            return  # its pixels are known
        if stamp == self._stamp:
            return
        digest = self._photograph.digest()
        listed = digest if self._photograph.stamp in (None, stamp) else None
        if digest != (self._digest or listed):
            where = self.path if self._end else "the list"
            raise ReplacedError(f"{where} is about another image than {self._photograph.path} is now: {_ANOTHER}")
        self._digest, self._stamp = digest, stamp

    def append(self, *entries: Entry) -> None:
        """Write entries after those that were read; once this returns they are on the disk.

        Raises:
            ReplacedError: if the image is another one now, or another program wrote to the log.
            OSError: if it cannot be written, as on a full disk, or the image not be read; the log is then as it was.
        """
        self.check_image()
        lines: list[BaseModel] = [*entries] if self._end else [self._first(), *entries]
        check, content = self._check, b""
        for line in lines:
            check, written = _written(line, check)
            content += written
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: bytes that a full disk refused must not be written later, when the file is closed.
        with self.path.open("rb+" if self._length else "ab", buffering=0) as file:
            if file.seek(0, os.SEEK_END) != self._length:
                raise ReplacedError(f"another program wrote to {self.path}: start segcode again to see its work")
            if self._end and os.pread(file.fileno(), 1, self._end - 1) != b"\n":
                content = b"\n" + content
            try:
                file.truncate(self._end)
                file.seek(self._end)
                if file.write(content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file.fileno())
                if not self._end:
                    flush_folder(self.path.parent)
            except OSError:
                with suppress(OSError):
                    file.truncate(self._end)
                self._length = file.seek(0, os.SEEK_END)
                raise
        self._check = check
        self._end = self._length = self._end + len(content)

    def _first(self) -> Head:
        size, stamp, digest = self._photograph.size, self._stamp, self._digest
        assert stamp and digest  # noqa: PT018 - check_image has set both
        path = printable(str(self._photograph.path.absolute()))
        return Head(version=VERSION, image=size, stamp=stamp, digest=digest, path=path, classes=self._classes)

    def _take(self, head: Head) -> None:
        image, now = head.image, self._photograph.size
        if image != now:
            sizes = f"of {image[0]} x {image[1]} pixels, and {self._photograph.path} has {now[0]} x {now[1]}"
            raise ReplacedError(f"{self.path} is about an image {sizes}: {_ANOTHER}")
        if head.classes != self._classes:
            raise DataError(
                f"{self.path} labels the classes {', '.join(head.classes)}, and the model has "
                f"{', '.join(self._classes)}: open it with a model of those classes, or give another folder with -o"
            )
        self._digest = head.digest


class Log(NamedTuple):
    """All lines of a log."""

    head: Head
    entries: list[Entry]

    def document(self) -> Document:
        """The document that they lead to."""
        document = Document()
        for entry in self.entries:
            document.apply(entry)
        return document


def read_log(path: Path) -> Log | None:
    """The lines of a log, whatever image it is about; None if there are none. Raises DataError as `Journal.read`."""
    head: Head | None = None
    entries = []
    for line in _parsed(path, _lines(_content(path))):
        if isinstance(line, Head):
            head = line
        else:
            entries.append(line)
    return None if head is None else Log(head, entries)


def require_work(folder: Path) -> None:
    """Raises DataError if it is no folder of work."""
    if not (folder / "journals").is_dir():
        raise DataError(f"{folder} has no journals: give a folder of work of `segcode annotate`")


def journals_in(folder: Path) -> dict[Path, str]:
    """The logs in a folder of work, and the names of the images that they are about."""
    journals = folder / "journals"
    return {path: path.relative_to(journals).with_suffix("").as_posix() for path in sorted(journals.rglob("*.jsonl"))}


def read_head(path: Path) -> Head | None:
    """The first line of a log; None if there is none that can be read."""
    try:
        lines = _lines(_content(path))
        return _head(path, lines[0]) if lines else None
    except DataError:
        return None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): let segcode read it, or move it away") from None


def _lines(content: bytes) -> list[bytes]:
    """The lines, without a last one that was cut off: the beginning of a line of a log, or zeros."""
    *lines, last = content.split(b"\n")
    if last.strip(b"\0") and not _BEGINNING.startswith(last[: len(_BEGINNING)]):
        return [*lines, last]
    try:
        json.JSONDecoder().raw_decode(last.decode(errors="replace"))
    except ValueError:
        return lines
    except RecursionError:
        pass
    return [*lines, last]


def _parsed(path: Path, lines: Sequence[bytes]) -> Iterator[Head | Entry]:
    check = 0
    for number, line in enumerate(lines, 1):
        yield _head(path, line) if number == 1 else _read_line(path, number, line, check, Entry)
        check = _checksum(line)


def _head(path: Path, line: bytes) -> Head:
    try:
        version = json.loads(line)["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        version = VERSION  # the line is damaged, which is found out below
    if version != VERSION:
        raise DataError(
            f"{path} has format {str(version)[:20]}, and this segcode reads format {VERSION}: "
            "open it with the version of segcode that wrote it, or move it away to begin again"
        )
    return _read_line(path, 1, line, 0, Head)


def _read_line(path: Path, number: int, line: bytes, before: int, kind: type[Line]) -> Line:
    found = _LINE.fullmatch(line)
    try:
        if found is None or zlib.crc32(b"{" + found[2], before) != int(found[1], 16):
            raise DataError(f"{path}: line {number} is damaged (its checksum is wrong): {_CURE}")
        return kind.model_validate_json(b"{" + found[2])
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"][:100]
        raise DataError(f"{path}: line {number} is damaged ({reason}): {_CURE}") from None


def _written(line: BaseModel, before: int) -> tuple[int, bytes]:
    """The checksum of a line, and the line."""
    content = line.model_dump_json(include={name for name, value in line if value is not None}).encode()
    check = zlib.crc32(content, before)
    return check, b'{"crc32":"%08x",%b\n' % (check, content[1:])


def _checksum(line: bytes) -> int:
    return int(line[10:18], 16)
