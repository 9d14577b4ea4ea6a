"""The images of a page, by name: those of a folder, and those dropped on it. No path ever comes from outside."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from PIL import Image as Pillow

from segcode.data.files import UNREADABLE, images_in, output_names, read_image
from segcode.errors import DataError
from segcode.files import replacing
from segcode.tensors import Image

FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")
"""Formats that may be uploaded, by Pillow's names."""

_SHOWN: Final = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_THUMBNAIL: Final = 160


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
        size: rows and columns, once it is upright.
    """

    name: str
    path: Path
    size: tuple[int, int]

    def read(self) -> Image:
        """Its pixels. Raises DataError if it cannot be read."""
        return read_image(self.path)

    def digest(self) -> str:
        """SHA-256 of the file. Raises OSError if it cannot be read."""
        return sha256(self.path.read_bytes()).hexdigest()

    def shown(self) -> Encoded:
        """The file itself, or as PNG if browsers do not know its format. Raises DataError if it cannot be read."""
        media_type = _SHOWN.get(self.path.suffix.lower())
        if media_type:
            return Encoded(self._bytes(), media_type)
        return Encoded(_saved(Pillow.fromarray(self.read()), "PNG"), "image/png")

    def _bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read ({error.strerror}): put it back") from None

    def thumbnail(self) -> Encoded:
        """Small enough for a list."""
        picture = Pillow.fromarray(self.read())
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
        return Encoded(_saved(picture, "JPEG"), "image/jpeg")


class Library:
    """Images by name, in natural order; those that are uploaded come last and are kept."""

    def __init__(self, images: Sequence[Path], uploads: Path, limits: Limits) -> None:
        """Of files, and of a folder for uploads, which is made when it is needed.

        Raises:
            DataError: if an image cannot be read, or two have one name.
        """
        self.limits = limits
        self._uploads = uploads
        self._naming = Lock()
        self._photographs: dict[str, Photograph] = {}
        for name, path in zip(output_names(images) if images else [], images, strict=True):
            self._add(name.as_posix(), path)
        for path in images_in(uploads):
            self._add(f"uploads/{path.stem}", path)

    def get(self, name: str) -> Photograph | None:
        """The image of this name."""
        return self._photographs.get(name)

    def all(self) -> list[Photograph]:
        """Every image."""
        return list(self._photographs.values())

    def upload(self, name: str, content: bytes, taken: Callable[[str], bool] = lambda _: False) -> Photograph:
        """Keep an image that was sent.

        Args:
            name: of the file at its owner's; only letters, digits, dots and dashes of it are used.
            content: of the file.
            taken: whether a name in the library is another's, beside those of its images.

        Raises:
            DataError: if it has too many pixels, or is not an image of one of `FORMATS`.
        """
        with opened(content, name, self.limits) as picture:
            kind = str(picture.format).lower()
        suffix = "jpeg" if kind == "mpo" else kind  # MPO: a telephone's JPEG with a second picture in it
        stem = re.sub(r"[^\w.-]+", "_", Path(name).stem, flags=re.ASCII).strip("._") or "image"
        free = stem = stem[:100]
        number = 1
        with self._naming:
            while f"uploads/{free}" in self._photographs or taken(f"uploads/{free}"):
                number += 1
                free = f"{stem}-{number}"
            path = self._uploads / f"{free}.{suffix}"
            with replacing(path) as unfinished:
                unfinished.write_bytes(content)
                try:
                    read_image(unfinished)  # to the last byte
                except DataError as error:
                    raise DataError(str(error).replace(str(unfinished), name)) from None
            return self._add(f"uploads/{free}", path)

    def _add(self, name: str, path: Path) -> Photograph:
        if name in self._photographs:
            raise DataError(f"{self._photographs[name].path} and {path} would both be called '{name}': rename one")
        self._photographs[name] = Photograph(name, path, _size_of(path))
        return self._photographs[name]


@contextmanager
def opened(content: bytes, name: str, limits: Limits) -> Iterator[Pillow.Image]:
    """An image that was sent, still to be decoded.

    Raises:
        DataError: if it is none, turns out to be damaged, or has too many pixels, which is looked up first.
    """
    most = f"{limits.pixels / 1e6:.0f} million"
    try:
        with Pillow.open(io.BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > limits.pixels:
                raise DataError(f"{name} has {width} x {height} pixels, more than {most}: scale it down")
            yield picture
    except Pillow.DecompressionBombError:
        raise DataError(f"{name} has more than {most} pixels: scale it down") from None
    except UNREADABLE:
        raise DataError(f"{name} is no image that can be read: send one of {', '.join(FORMATS)}") from None


def _size_of(path: Path) -> tuple[int, int]:
    """Rows and columns of an upright image, from its header."""
    try:
        with Pillow.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112, 1) >= 5
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({error}): remove it, or save it as PNG") from None
    return (width, height) if turned else (height, width)


def _saved(picture: Pillow.Image, kind: str) -> bytes:
    content = io.BytesIO()
    picture.save(content, format=kind)
    return content.getvalue()
