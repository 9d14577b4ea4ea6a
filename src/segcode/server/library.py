"""The images of a page, by name: those of a folder, and those dropped on it. No path ever comes from outside."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias
from zlib import crc32

from PIL import Image as Pillow

from segcode.data.files import IMAGE_SUFFIXES, by_name, image_names, name_of, natural_key, pictures_in
from segcode.data.images import image_info, open_image, read_image, upright
from segcode.errors import DataError
from segcode.files import replacing, require_short_name
from segcode.server.problems import printable
from segcode.tensors import Image

_SHOWN: Final = ("PNG", "JPEG", "WEBP")  # by every browser
_THUMBNAIL: Final = 160
_ESCAPED: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)}  # control characters: no address has them
_UPLOADS: Final = "uploads/"  # how the names of uploads begin
_LONGEST: Final = 200  # bytes of a name that is made from an upload's: file systems allow 255, endings included


Stamp: TypeAlias = tuple[int, int, int]
"""A file's time of change in nanoseconds, its bytes, and its number in the file system; they tell files apart."""


@dataclass(frozen=True)
class Limits:
    """Limits of an upload.

    Args:
        bytes: the most of a file; receiving stops there.
        pixels: the most of an image, checked before anything is decoded.
    """

    bytes: int = 64 * 2**20
    pixels: int = 64 * 10**6


@dataclass(frozen=True)
class Encoded:
    """A picture as a browser shows it."""

    content: bytes
    media_type: str


@dataclass(frozen=True)
class Photograph:
    """An image of the library.

    Args:
        name: its own in the library, such as "seq1/frame_02"; folders and no ending.
        path: where it is.
        size: rows and columns, once it is upright; zeros if it cannot be read.
        stamp: of the file when it was looked at; None if there was none.
        problem: why it cannot be read or worked on, with the cure.
        uploaded: whether it was dropped on the page.
        honeypot: whether its truth is known and annotators are measured by it, which neither the page nor the
            interface says.
    """

    name: str
    path: Path
    size: tuple[int, int]
    stamp: Stamp | None = None
    problem: str | None = None
    uploaded: bool = False
    honeypot: bool = False

    @staticmethod
    def of(name: str, path: Path) -> Photograph:
        """A file as it is now, looked at and not decoded."""
        stamp = None
        with suppress(OSError):
            stamp = _stamp(path)
        try:
            info = image_info(path)
        except DataError as error:
            return Photograph(name, path, (0, 0), stamp, str(error))
        return Photograph(name, path, (info.height, info.width), stamp)

    @property
    def original_name(self) -> str:
        """The name that its owner gave it, without an ending; uploads of one name are numbered."""
        return self.name.removeprefix(_UPLOADS) if self.uploaded else self.name

    @property
    def file_name(self) -> str:
        """The original name with the file's ending."""
        return self.original_name + printable(self.path.suffix)

    def stamp_now(self) -> Stamp:
        """The stamp of the file now. Raises OSError if there is none."""
        return _stamp(self.path)

    def read(self) -> Image:
        """Its pixels. Raises DataError if it cannot be read."""
        return read_image(self.path)

    def digest(self) -> str:
        """SHA-256 of the file. Raises OSError if it cannot be read."""
        with self.path.open("rb") as file:
            digest = sha256()
            while part := file.read(2**20):
                digest.update(part)
        return digest.hexdigest()

    def original(self) -> Encoded | None:
        """The file itself, if every browser shows it as `read` gives it: it may note no orientation.

        Raises:
            DataError: if it cannot be read.
        """
        info = image_info(self.path)
        if info.format not in _SHOWN or info.orientation != 1:
            return None
        try:
            return Encoded(self.path.read_bytes(), info.media_type)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read ({error.strerror}): put it back") from None

    def redrawn(self) -> Encoded:
        """The pixels that `read` gives, as a JPEG if the file is one, else as PNG. Raises DataError as `read` does."""
        kind = "JPEG" if image_info(self.path).format == "JPEG" else "PNG"
        options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"compress_level": 1}
        return _encoded(Pillow.fromarray(self.read()), kind, options)

    def thumbnail(self) -> Encoded:
        """Small enough for a list; a JPEG is decoded at a part of its size. Raises DataError if it cannot be read."""
        side = (_THUMBNAIL, _THUMBNAIL)
        with open_image(self.path) as picture:
            picture.draft("RGB", side)
            small = upright(picture)
            if small.mode != "RGB":
                small = small.convert("RGB")
            small.thumbnail(side)
            return _encoded(small, "JPEG")


class Library:
    """Images by name, in natural order; those that are uploaded come last and are kept."""

    def __init__(self, images: Sequence[Path], uploads: Path, limits: Limits, honeypots: Sequence[Path] = ()) -> None:
        """Lists files, and those in a folder for uploads, which is made when it is needed.

        Honeypots are listed among the images by their names, in folders of these. Files that share a name are listed
        with their endings, and with that as their problem; so is a name that is too long for a journal.
        """
        self.limits = limits
        self._uploads = uploads
        self._naming = Lock()
        self._photographs: dict[str, Photograph] = {}
        self._refused: dict[str, str] = {}
        kept = pictures_in(uploads)
        names = {path: f"{_UPLOADS}{name_of(path)}" for path in kept} | image_names(images)
        names = {path: printable(name).translate(_ESCAPED) for path, name in names.items()}
        self._honeypots = frozenset(honeypots)
        for path in honeypots:
            names[path] = _hidden(name_of(path), list(names.values()))
        images = sorted([*images, *honeypots], key=lambda path: natural_key(Path(names[path])))
        named = by_name([*images, *kept], names.__getitem__)
        self._taken = {*named.files, *named.problems}
        for path in [*images, *kept]:
            name = names[path]
            if problem := named.problems.get(name):
                name += printable(path.suffix)
                while name in self._taken:
                    name += "_"
                self._taken.add(name)
                self._refused[name] = problem
            try:
                require_short_name(Path(f"{name}.jsonl"))  # no other file that is kept of it has a longer name
            except DataError as error:
                self._refused[name] = str(error)
            self._look(name, path)

    def get(self, name: str) -> Photograph | None:
        """The image of this name, as its file is now."""
        known = self._photographs.get(name)
        if known is not None:
            with suppress(OSError):  # a file that is gone stays as it was: reading it says so
                if known.stamp_now() != known.stamp:
                    known = self._look(name, known.path)
        return known

    def all(self) -> list[Photograph]:
        """Every image."""
        return [photograph for name in list(self._photographs) if (photograph := self.get(name))]

    def upload(self, name: str, content: bytes, taken: Callable[[str], bool] = lambda _: False) -> Photograph:
        """Keep an image that was sent.

        Args:
            name: of the file at its owner's; a folder, control characters and what file systems refuse are left out.
            content: of the file.
            taken: whether a name in the library is another's, beside those of its images.

        Raises:
            DataError: if it has too many pixels, or is no image that can be read.
        """
        kind = image_info(content, printable(name), self.limits.pixels).format.lower()
        read_image(content, printable(name))  # to the last byte
        ending = Path(printable(name)).suffix
        free = stem = _file_stem(name)
        number = 1
        with self._naming:
            while f"{_UPLOADS}{free}" in self._taken or taken(f"{_UPLOADS}{free}"):
                number += 1
                free = f"{stem}-{number}"
            path = self._uploads / f"{free}{ending if ending.lower() in IMAGE_SUFFIXES else f'.{kind}'}"
            with replacing(path) as unfinished:
                unfinished.write_bytes(content)
            self._taken.add(f"{_UPLOADS}{free}")
            return self._look(f"{_UPLOADS}{free}", path)

    def remove(self, name: str) -> None:
        """Delete an image that was uploaded. Raises DataError for another one, and OSError if it cannot be deleted."""
        photograph = self._photographs[name]
        if not photograph.uploaded:
            raise DataError(f"'{name}' was not dropped on the page: move its file away, and start again")
        photograph.path.unlink(missing_ok=True)
        with self._naming:
            del self._photographs[name]
            self._taken.discard(name)

    def _look(self, name: str, path: Path) -> Photograph:
        uploaded, honeypot = path.parent == self._uploads, path in self._honeypots
        photograph = replace(Photograph.of(name, path), uploaded=uploaded, honeypot=honeypot)
        if problem := self._refused.get(name):
            photograph = replace(photograph, problem=problem)
        self._photographs[name] = photograph
        return photograph


def _hidden(stem: str, names: Sequence[str]) -> str:
    """A name that is free in the folder of one of these images, which the stem chooses; uploads are no images."""
    images = [name for name in names if not name.startswith(_UPLOADS)] or [""]
    place = images[crc32(stem.encode(errors="surrogateescape")) % len(images)].rpartition("/")
    name = printable(f"{place[0]}{place[1]}{stem}").translate(_ESCAPED)
    return next(free for free in (name, *(f"{name}-{n}" for n in range(2, len(names) + 3))) if free not in names)


def _file_stem(name: str) -> str:
    """A safe name without an ending for a file that was sent."""
    stem = Path(unicodedata.normalize("NFC", printable(name)).replace("\0", "_")).stem
    kept = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in stem)
    return kept.encode()[:_LONGEST].decode(errors="ignore").strip("._ ") or "image"


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _encoded(picture: Pillow.Image, kind: str, options: Mapping[str, int] | None = None) -> Encoded:
    content = io.BytesIO()
    picture.save(content, format=kind, **(options or {}))
    return Encoded(content.getvalue(), Pillow.MIME[kind])
