"""Image files: what they are, and their pixels. Every image that segcode reads is read here."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from segcode.errors import DataError, SegcodeError
from segcode.tensors import Image

FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")
"""Formats that are read, by Pillow's names. The content of a file tells its format, not the ending of its name."""

NOTE: Final = "segcode"
"""Keyword of the text in the PNGs that segcode writes, which Pillow gives in `info`."""

MOST_PIXELS: Final = 178 * 10**6
"""Larger images are refused; Pillow itself refuses those above 178.9 million pixels."""

_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_HEADER_CHUNKS: Final = (b"IHDR", b"eXIf")
_NOTE_CHUNK: Final = b"tEXt" + NOTE.encode() + b"\0"
_PIXEL_CHUNKS: Final = (b"PLTE", b"tRNS", b"IDAT", b"IEND")
_NO_PIXELS: Final = b"\0\0\0\0IDAT5\xaf\x06\x1e\0\0\0\0IEND\xaeB`\x82"


class ImageInfo(NamedTuple):
    """Size, format and orientation of an image file.

    Attributes:
        height: rows of the upright image, as `read_image` gives it.
        width: its columns.
        format: of the file's content, one of `FORMATS`.
        orientation: 1 if the pixels are stored upright, 2 to 8 if they have to be turned (EXIF's numbers); None if
            the EXIF block is damaged. Then they are taken as they are stored, and other programs may turn them.
    """

    height: int
    width: int
    format: str
    orientation: int | None

    @property
    def media_type(self) -> str:
        """The media type of the file's content, such as "image/jpeg"."""
        return Pillow.MIME[self.format]


def image_info(source: Path | bytes, name: str = "", most: int = MOST_PIXELS) -> ImageInfo:
    """Size, format and orientation of an image file, without decoding it.

    Args:
        source: a file, or the content of one.
        name: for the messages of errors; the path if not given.
        most: pixels that the image may have.

    Raises:
        DataError: if it is missing, closed to the user, no image, has a damaged header or too many pixels or bits.
    """
    with open_image(source, name, most, header=True) as picture:
        _require_8_bits(picture, name or _name(source))
        turn = orientation(picture)
        width, height = picture.size
        if hasattr(picture, "tag_v2"):  # of a TIFF Pillow gives the upright size
            width, height = picture.tag_v2[256], picture.tag_v2[257]
        if turn and turn >= 5:
            width, height = height, width
        kind = str(picture.format)
        return ImageInfo(height, width, "JPEG" if kind == "MPO" else kind, turn)  # MPO: a JPEG with two pictures


def read_image(source: Path | bytes, name: str = "", most: int = MOST_PIXELS) -> Image:
    """An image as RGB (H, W, 3), turned upright; no alpha.

    The note of an orientation is EXIF's, in a JPEG, PNG or WebP, or the tag of a TIFF. XMP and other text are not
    read, as browsers and most programs that draw labels do not. A damaged EXIF block is ignored.

    Args:
        source: a file, or the content of one.
        name: for the messages of errors; the path if not given.
        most: pixels that the image may have.

    Raises:
        DataError: if it is missing, closed to the user, damaged, no image, or has too many pixels or bits.
    """
    name = name or _name(source)
    with open_image(source, name, most) as picture:
        _require_8_bits(picture, name)
        turned = upright(picture)
        return np.array(turned if turned.mode == "RGB" else turned.convert("RGB"))


def result_note(**content: object) -> PngInfo:
    """The text of a PNG that segcode makes, as JSON, for Pillow's `save(pnginfo=...)`; see `is_result`."""
    note = PngInfo()
    note.add_text(NOTE, json.dumps(content))
    return note


def is_result(path: Path) -> bool:
    """Whether a file is a picture that segcode made of an image: a label image, an overlay and so on."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)  # texts stand before the pixels
    except OSError:
        return False
    return start.startswith(_PNG) and _NOTE_CHUNK in start


@contextmanager
def open_image(
    source: Path | bytes, name: str = "", most: int = MOST_PIXELS, header: bool = False
) -> Iterator[Pillow.Image]:
    """An image of one of `FORMATS` that is still to be decoded, in the block; `upright` decodes it.

    Args:
        source: a file, or the content of one.
        name: for the messages of errors; the path if not given.
        most: pixels that the image may have.
        header: leave out the pixels of a PNG, and read no more of its file than needed.

    Raises:
        DataError: as `read_image`, also for what Pillow raises in the block.
    """
    name = name or _name(source)
    try:
        if isinstance(source, Path) and not source.is_file():
            raise DataError(f"{name} is missing: check the path, or unpack the data set again")
        if not (source.stat().st_size if isinstance(source, Path) else source):
            raise DataError(f"{name} is empty: copy or download it again")
        with (
            source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file,
            Pillow.open(_without_text(file, header), formats=FORMATS) as picture,
        ):
            if picture.width * picture.height > most:
                size = f"{picture.width} x {picture.height} pixels, more than {most / 1e6:.0f} million"
                raise DataError(f"{name} has {size}: scale it down")
            picture.info.pop("xmp", None)
            yield picture
    except SegcodeError:
        raise
    except Pillow.DecompressionBombError:
        raise DataError(f"{name} has more than {most / 1e6:.0f} million pixels: scale it down") from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is no image that can be read: save it as one of {', '.join(FORMATS)}") from None
    except MemoryError:
        raise DataError(f"{name} needs more memory than there is: scale it down") from None
    except Exception as error:  # any: decoders raise errors of many kinds, depending on where the damage is
        if isinstance(error, OSError) and error.errno:
            raise DataError(f"{name} cannot be read ({error.strerror}): change its permissions, or copy it") from None
        raise DataError(
            f"{name} is damaged ({str(error) or type(error).__name__}): copy or download it again"
        ) from error


def upright(picture: Pillow.Image) -> Pillow.Image:
    """Decode a picture from `open_image`, and turn it as its note of an orientation says; the mode stays."""
    picture.load()
    turn = _TURNS.get(orientation(picture) or 1)
    return picture if turn is None else picture.transpose(turn)


def raw_modes(picture: Pillow.Image) -> list[str]:
    """The modes of the pixels in the file of a picture that is still to be decoded, such as "RGB;16B"; [] of a WebP."""
    return [str(tile[3][0] if isinstance(tile[3], tuple) else tile[3]) for tile in getattr(picture, "tile", [])]


def _name(source: Path | bytes) -> str:
    return str(source) if isinstance(source, Path) else "the image"


def _require_8_bits(picture: Pillow.Image, name: str) -> None:
    """Raises DataError for more: Pillow would keep the upper 8, and a camera of 12 bits would give black."""
    if deep := [mode for mode in (picture.mode, *raw_modes(picture)) if mode[0] in "IF" or ";16" in mode]:
        raise DataError(f"{name} has more than 8 bits a channel (mode {deep[0]}): save it as 8-bit RGB")


def orientation(picture: Pillow.Image) -> int | None:
    """How the pixels are stored, 1 to 8 as EXIF counts; None if the EXIF block cannot be read."""
    try:
        found = Pillow.Image.getexif(picture).get(_ORIENTATION, 1)  # a PNG's own method decodes the pixels
    except Exception:  # any: see above
        return None
    return int(found) if found in _TURNS else 1


def _without_text(file: io.BufferedReader | io.BytesIO, header: bool) -> io.BufferedReader | io.BytesIO:
    """A PNG's chunks that are needed; zipped text and profiles may be of any size. Other files as they are."""
    if file.read(len(_PNG)) != _PNG:
        return file
    kept = [_PNG]
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind in _HEADER_CHUNKS or (kind in _PIXEL_CHUNKS and not header):
            content = file.read(length + 4)
            if kind != b"eXIf" or content[-4:] == struct.pack(">I", zlib.crc32(kind + content[:-4])):
                kept += [start, content]
        elif kind == b"tEXt":
            content = file.read(length + 4)
            kept += [start, content] if (kind + content).startswith(_NOTE_CHUNK) else []
        else:
            file.seek(length + 4, os.SEEK_CUR)
    return io.BytesIO(b"".join(kept + [_NO_PIXELS] * header))
