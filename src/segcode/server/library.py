"""The images of a page, by name: those of a folder, and those dropped on it. No path ever comes from outside."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from PIL import Image as Pillow

from segcode.data.files import name_of, output_names, pictures_in
from segcode.data.images import image_info, read_image
from segcode.errors import DataError
from segcode.files import replacing
from segcode.tensors import Image

_SHOWN: Final = ("image/png", "image/jpeg", "image/webp")
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
        """The file itself, or a PNG if browsers might show it otherwise. Raises DataError if it cannot be read."""
        info = image_info(self.path)
        if info.media_type in _SHOWN and (info.orientation == 1 or (info.orientation and info.format == "JPEG")):
            return Encoded(self._bytes(), info.media_type)
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
        for path in pictures_in(uploads):
            self._add(f"uploads/{name_of(path)}", path)

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
            DataError: if it has too many pixels, or is no image that can be read.
        """
        suffix = image_info(content, name, self.limits.pixels).format.lower()
        read_image(content, name)  # to the last byte
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
            return self._add(f"uploads/{free}", path)

    def _add(self, name: str, path: Path) -> Photograph:
        if name in self._photographs:
            raise DataError(f"{self._photographs[name].path} and {path} would both be called '{name}': rename one")
        info = image_info(path)
        self._photographs[name] = Photograph(name, path, (info.height, info.width))
        return self._photographs[name]


def _saved(picture: Pillow.Image, kind: str) -> bytes:
    content = io.BytesIO()
    picture.save(content, format=kind)
    return content.getvalue()
