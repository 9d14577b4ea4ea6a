import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import noise, png_chunk, save, truncate
from PIL import Image as Pillow

from segcode.data.images import FORMATS, ImageInfo, image_info, open_image, read_image
from segcode.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
ORIENTATION = 0x0112
TURNED = (lambda x: x, np.fliplr, lambda x: np.rot90(x, 2), np.flipud, lambda x: x.swapaxes(0, 1))
TURNED += (lambda x: np.rot90(x, -1), lambda x: np.rot90(x, 2).swapaxes(0, 1), np.rot90)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


def encoded(kind: str, orientation: int | None = None, pixels: np.ndarray | None = None, **options) -> bytes:
    content = io.BytesIO()
    if orientation is not None:
        options["exif"] = Pillow.Exif()
        options["exif"][ORIENTATION] = orientation
    Pillow.fromarray(noise(0) if pixels is None else pixels).save(content, kind, **options)
    return content.getvalue()


def with_chunk(png: bytes, kind: bytes, content: bytes, late: bool = False) -> bytes:
    """The PNG with one chunk more, after its header or before its end."""
    place = len(png) - 12 if late else 33
    return png[:place] + png_chunk(kind, content) + png[place:]


def exif_block(tag: int, kind: int, orientation: int = 6) -> bytes:
    """A block of an orientation and one other tag of any type, whose value lies where there is nothing."""
    entries = struct.pack("<HHIHH", ORIENTATION, 3, 1, orientation, 0), struct.pack("<HHII", tag, kind, 1, 9999)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + b"".join(sorted(entries)) + bytes(4)


def test_an_image_is_read_as_it_was_saved(tmp_path: Path) -> None:
    pixels = noise(0)
    assert np.array_equal(read_image(save(tmp_path / "a.png", pixels)), pixels)


def test_an_image_of_one_pixel_is_read(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "a.png", noise(0, 1, 1))).shape == (1, 1, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_an_image_of_any_8_bit_mode_is_read_as_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Pillow.fromarray(noise(0)).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (6, 8, 3)
    assert image.dtype == np.uint8


def test_an_image_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    pixels = noise(0)
    exif = Pillow.Exif()
    exif[ORIENTATION] = 6  # a quarter turn
    Pillow.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(pixels, -1))


def test_an_image_of_16_bits_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((2, 2), 1000, np.uint16))
    with pytest.raises(DataError, match=r"a\.png has more than 8 bits .* save it as 8-bit RGB"):
        read_image(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png is missing: check the path"):
        read_image(tmp_path / "a.png")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    truncate(save(tmp_path / "a.png", noise(0, 40, 40)))
    with pytest.raises(DataError, match=r"a\.png is damaged .* copy or download it again"):
        read_image(tmp_path / "a.png")


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"a\.png is no image"):
        read_image(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(data=st.data(), suffix=st.sampled_from(["png", "jpeg", "bmp", "tiff", "webp"]))
def test_damage_anywhere_gives_an_image_or_a_data_error(
    data: st.DataObject, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    saved = io.BytesIO()
    exif = Pillow.Exif()
    exif[ORIENTATION] = 6
    Pillow.fromarray(noise(0)).save(saved, suffix, exif=exif)
    content = bytearray(saved.getvalue())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(DataError):
        assert read_image(path).ndim == 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_and_the_pixels_agree_on_an_orientation(kind: str, orientation: int) -> None:
    lossless = {} if kind != "WEBP" else {"lossless": True}
    content = encoded(kind, orientation, **lossless)
    image, info = read_image(content), image_info(content)
    assert image.shape[:2] == (info.height, info.width)
    assert (info.format, info.orientation) == (kind, orientation)
    if kind != "JPEG":
        assert np.array_equal(image, TURNED[orientation - 1](noise(0)))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate"])
def test_a_turned_tiff_is_read_upright_however_it_is_compressed(compression: str) -> None:
    content = encoded("TIFF", 6, compression=compression)
    assert np.array_equal(read_image(content), np.rot90(noise(0), -1))


def test_a_note_behind_the_pixels_of_a_png_is_found() -> None:
    content = with_chunk(encoded("PNG"), b"eXIf", exif_block(0x0131, 4), late=True)
    assert image_info(content).orientation == 6
    assert np.array_equal(read_image(content), np.rot90(noise(0), -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_orientation_in_xmp_alone_is_not_followed(kind: str) -> None:
    if kind == "PNG":
        content = with_chunk(encoded("PNG"), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    elif kind == "TIFF":
        content = encoded("TIFF", tiffinfo={700: XMP})
    else:
        content = encoded(kind, xmp=XMP)
    assert image_info(content)[:2] == read_image(content).shape[:2] == (6, 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@given(
    tag=st.sampled_from([0x010E, 0x013B, 0x8769, 0x8825, 0xA005, 0xA002, 0x9286]) | st.integers(0, 65535),
    value=st.integers(0, 14),
)
def test_no_exif_block_keeps_an_image_from_being_read(kind: str, tag: int, value: int) -> None:
    block = exif_block(tag, value)
    content = with_chunk(encoded("PNG"), b"eXIf", block) if kind == "PNG" else encoded(kind, exif=b"Exif\0\0" + block)
    assert read_image(content).shape[:2] == image_info(content)[:2]


@given(st.binary(max_size=200))
def test_an_exif_block_of_any_bytes_leaves_the_image(block: bytes) -> None:
    content = with_chunk(encoded("PNG"), b"eXIf", block)
    assert read_image(content).shape[:2] == image_info(content)[:2]


def test_an_exif_block_with_a_wrong_checksum_is_ignored() -> None:
    content = with_chunk(encoded("PNG"), b"eXIf", exif_block(0x0131, 4)).replace(b"eXIfII", b"eXIfMM")
    assert np.array_equal(read_image(content), noise(0))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_zipped_text_of_any_size_is_ignored(kind: bytes, late: bool) -> None:
    start = b"XML:com.adobe.xmp\0\1\0\0\0" if kind == b"iTXt" else b"Comment\0\0"
    content = with_chunk(encoded("PNG"), kind, start + zlib.compress(bytes(3 * 2**20)), late)
    assert np.array_equal(read_image(content), noise(0))
    assert image_info(content) == ImageInfo(6, 8, "PNG", 1)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_content_tells_the_format_not_the_ending(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(kind))
    assert image_info(path).format == kind
    assert image_info(path).media_type == Pillow.MIME[kind]
    assert read_image(path).shape == (6, 8, 3)


def test_the_header_of_a_png_is_read_without_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", noise(0))
    monkeypatch.setattr(Pillow.Image, "load", lambda *_: pytest.fail("decoded"))
    assert image_info(path) == ImageInfo(6, 8, "PNG", 1)


@pytest.mark.parametrize("side", [13_400, 14_000, 2**31 - 1])
def test_an_image_of_too_many_pixels_is_refused_with_the_reason_and_the_cure(side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(99)))
    for read in (read_image, image_info):
        with pytest.raises(DataError, match=r"^big\.png has .*more than 178 million.*: scale it down$"):
            read(content, "big.png")


def test_fewer_pixels_may_be_asked_for() -> None:
    with pytest.raises(DataError, match="has 8 x 6 pixels, more than 0 million: scale it down"):
        read_image(encoded("PNG"), most=47)
    assert read_image(encoded("PNG"), most=48).shape == (6, 8, 3)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    for read in (read_image, image_info):
        with pytest.raises(DataError, match=r"a\.jpg is empty: copy or download it again"):
            read(tmp_path / "a.jpg")
        with pytest.raises(DataError, match="the image is empty"):
            read(b"")


@pytest.mark.parametrize("content", [b"no image", encoded("GIF"), b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_other_content_is_refused_with_the_formats_that_are_read(content: bytes) -> None:
    for read in (read_image, image_info):
        with pytest.raises(DataError, match=r"a\.png is no image that can be read: save it as one of PNG, JPEG"):
            read(content, "a.png")


def test_what_goes_wrong_while_an_image_is_decoded_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", noise(0))
    with pytest.raises(DataError, match=r"a\.png is damaged \(KeyError\): copy or download it again"), open_image(path):
        raise KeyError


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", noise(0))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"a\.png cannot be read \(Permission denied\): change its permissions"):
        read_image(path)


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_an_image_of_more_than_8_bits_a_channel_is_refused_by_its_header_whatever_its_channels(colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", 4, 2, 16, colour, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(2 * 4 * channels)) * 2)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    for read in (image_info, read_image):
        with pytest.raises(DataError, match=r"more than 8 bits a channel .* save it as 8-bit RGB"):
            read(b"\x89PNG\r\n\x1a\n" + chunks)
