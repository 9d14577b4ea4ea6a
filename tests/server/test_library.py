from __future__ import annotations

import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.JpegImagePlugin import JpegImageFile

from segcode.errors import DataError
from segcode.server.library import Encoded, Library, Limits, Photograph

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def encoded(kind: str = "PNG", pixels: np.ndarray = PIXELS, **options) -> bytes:
    content = io.BytesIO()
    Pillow.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def save(path, content: bytes | None = None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded() if content is None else content)
    return path


@pytest.fixture
def library(tmp_path):
    return Library([], tmp_path / "work" / "uploads", Limits())


def shown(photograph: Photograph) -> Encoded:
    return photograph.original() or photograph.redrawn()


def names(library: Library) -> list[str]:
    return [photograph.name for photograph in library.all()]


def test_images_keep_their_order_and_are_called_after_their_folders(tmp_path):
    paths = [save(tmp_path / name) for name in ("a/frame_2.png", "a/frame_10.png", "b/frame_1.png")]
    assert names(Library(paths, tmp_path / "uploads", Limits())) == ["a/frame_2", "a/frame_10", "b/frame_1"]


def test_uploads_come_last_and_are_found_again_in_natural_order(tmp_path):
    images = [save(tmp_path / "z.png")]
    library = Library(images, tmp_path / "uploads", Limits())
    for name in ("b.png", "a10.png", "a2.png"):
        library.upload(name, encoded())
    assert names(library) == ["z", "uploads/b", "uploads/a10", "uploads/a2"]
    assert names(Library(images, tmp_path / "uploads", Limits())) == ["z", "uploads/a2", "uploads/a10", "uploads/b"]


def test_an_upload_is_kept_as_it_was_sent(library):
    photograph = library.upload("street.png", encoded())
    assert photograph.path.read_bytes() == encoded()
    assert np.array_equal(photograph.read(), PIXELS)
    assert photograph.size == PIXELS.shape[:2]
    assert library.get("uploads/street") == photograph
    assert library.get("street") is None


def test_uploads_of_one_name_are_all_kept(library):
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda value: library.upload("a.png", encoded(pixels=PIXELS // value)), range(1, 9)))
    assert {photograph.name for photograph in sent} == {"uploads/a", *(f"uploads/a-{number}" for number in range(2, 9))}
    for value, photograph in enumerate(sent, 1):
        assert np.array_equal(photograph.read(), PIXELS // value)


def test_the_ending_is_that_of_the_format(library):
    assert library.upload("street.gif", encoded("JPEG")).path.name == "street.jpeg"


def test_a_telephones_jpeg_with_a_second_picture_is_found_again(library, tmp_path):
    content = encoded("MPO", save_all=True, append_images=[Pillow.fromarray(PIXELS)])
    assert shown(library.upload("telephone.jpg", content)).media_type == "image/jpeg"
    assert names(Library([], tmp_path / "work" / "uploads", Limits())) == ["uploads/telephone"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini.png", "boot.ini"),
        ("", "image"),
        ("..", "image"),
        (".hidden.png", "hidden"),
        ("straße 東京.png", "straße 東京"),
        ("東京.png", "東京"),
        ("u\u0308.png", "ü"),
        ("a\0b\n\u202e.png", "a_b"),
        ('a/b:c*"d.png', "b_c__d"),
        ("\ud800.png", "ud800"),
        ("x" * 300 + ".png", "x" * 200),
        ("東" * 300 + ".png", "東" * 66),
    ],
)
def test_no_name_leads_out_of_the_folder(library, tmp_path, name, kept):
    photograph = library.upload(name, encoded())
    assert photograph.path == tmp_path / "work" / "uploads" / f"{kept}.png"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [photograph.path]


def truncated() -> bytes:
    content = encoded(pixels=np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "a.png is empty"),
        (b"hello", "is no image that can be read: save it as one of PNG"),
        (encoded("GIF"), "is no image that can be read: save it as one of PNG"),
        (encoded("ICO"), "is no image that can be read: save it as one of PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image that can be read: save it as one of PNG"),
        (truncated(), "^a.png is damaged"),
        (encoded(pixels=np.zeros((4, 4), np.uint16)), "^a.png has more than 8 bits a channel"),
    ],
)
def test_what_cannot_be_worked_on_is_refused_and_leaves_nothing(library, tmp_path, content, why):
    with pytest.raises(DataError, match=why):
        library.upload("a.png", content)
    assert names(library) == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def header_of(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and has hardly a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_001, 13_000, 50_000])
def test_too_many_pixels_are_refused_before_they_are_decoded(library, monkeypatch, side):
    monkeypatch.setattr(Pillow.Image, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"more than 64 million.*: scale it down"):
        library.upload("a.png", header_of(side, side))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_image(library, orientation):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    photograph = library.upload("a.jpg", encoded("JPEG", exif=exif))
    assert photograph.size == photograph.read().shape[:2] == ((6, 9) if orientation < 5 else (9, 6))


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("TIFF", "image/png"),
        ("BMP", "image/png"),
        ("PPM", "image/png"),
    ],
)
def test_browsers_are_shown_what_they_know(library, kind, media_type):
    photograph = library.upload("a", encoded(kind))
    picture_of = shown(photograph)
    assert picture_of.media_type == media_type
    with Pillow.open(io.BytesIO(picture_of.content)) as picture:
        assert Pillow.MIME[str(picture.format)] == media_type
        assert np.array_equal(np.array(picture.convert("RGB")), photograph.read())


def test_thumbnails_are_small(library):
    photograph = library.upload("a", encoded(pixels=np.zeros((300, 900, 3), np.uint8)))
    with Pillow.open(io.BytesIO(photograph.thumbnail().content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (160, 53))


def test_an_image_that_is_gone_is_told(library):
    photograph = library.upload("a", encoded())
    photograph.path.unlink()
    for look in (photograph.original, photograph.redrawn, photograph.thumbnail, photograph.read):
        with pytest.raises(DataError, match=r"uploads/a\.png"):
            look()


def test_images_of_one_name_are_marked_with_the_reason_beside_the_others(tmp_path):
    paths = [save(tmp_path / name) for name in ("a.jpg", "a.png", "b.png", "uploads/c.png", "a.jpg.png")]
    save(tmp_path / "work" / "uploads" / "c.jpg")
    library = Library(paths, tmp_path / "work" / "uploads", Limits())
    for _ in range(2):
        found = {one.name: one.problem for one in library.all()}
        assert list(found) == ["a.jpg_", "a.png", "a.jpg", "b", "uploads/c.png", "uploads/c.jpg"]
        for name in ("a.jpg_", "a.png"):
            assert f"{tmp_path}/a.jpg and {tmp_path}/a.png have one name, 'a'" in found[name]
        assert "have one name, 'uploads/c'" in found["uploads/c.jpg"]
        assert found["b"] is found["a.jpg"] is None
        os.utime(paths[0], (1, 1))  # a change of the file is no cure
    assert library.upload("c.png", encoded()).name == "uploads/c-2"


def test_a_name_that_is_too_long_for_a_journal_is_marked_with_the_reason(tmp_path):
    paths = [save(tmp_path / f"{letter * length}.png") for letter, length in (("a", 249), ("b", 250))]
    fits, too_long = Library(paths, tmp_path / "uploads", Limits()).all()
    assert fits.problem is None
    assert "has a name of 256 bytes, more than 255: choose a shorter one" in too_long.problem


@pytest.mark.parametrize("content", [b"", b"hello", header_of(14_000, 14_000)])
def test_a_file_that_cannot_be_read_is_listed_with_the_reason_beside_the_others(tmp_path, content):
    paths = [save(tmp_path / "bad.png", content), save(tmp_path / "good.png")]
    bad, good = Library(paths, tmp_path / "uploads", Limits()).all()
    assert (bad.name, good.name) == ("bad", "good")
    assert (good.problem, good.size) == (None, (6, 9))
    assert bad.problem is not None
    assert "bad.png" in bad.problem
    assert ": " in bad.problem


def test_an_image_that_is_put_right_or_changed_is_looked_at_again(tmp_path):
    library = Library([save(tmp_path / "a.png", b"hello")], tmp_path / "uploads", Limits())
    save(tmp_path / "a.png", encoded(pixels=PIXELS[:4]))
    assert library.get("a").problem is None
    assert library.all()[0].size == (4, 9)


def test_a_name_that_is_not_utf_8_is_one_that_can_be_sent(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        save(path)
    except OSError:
        pytest.skip("this file system takes no such name")
    (photograph,) = Library([path], tmp_path / "uploads", Limits()).all()
    assert photograph.name.encode().startswith(b"caf")
    assert np.array_equal(photograph.read(), PIXELS)


def decoded(picture: Encoded) -> np.ndarray:
    with Pillow.open(io.BytesIO(picture.content)) as opened:
        return np.array(opened.convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_list_the_pixels_and_what_is_shown_are_of_one_orientation(tmp_path, kind, orientation):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    pixels = np.kron(PIXELS, np.ones((8, 8, 1), np.uint8))
    path = save(tmp_path / f"a.{kind.lower()}", encoded(kind, pixels, exif=exif))
    (photograph,) = Library([path], tmp_path / "uploads", Limits()).all()
    picture = shown(photograph)
    assert photograph.size == photograph.read().shape[:2] == decoded(picture).shape[:2]
    assert np.abs(decoded(picture).astype(int) - photograph.read()).mean() < 3
    with Pillow.open(io.BytesIO(picture.content)) as opened:
        assert opened.getexif().get(0x0112, 1) == 1  # whatever reads it shows it as it is
    with Pillow.open(io.BytesIO(photograph.thumbnail().content)) as small:
        assert (small.height > small.width) == (photograph.size[0] > photograph.size[1])


def test_a_file_is_shown_as_what_it_is_whatever_its_ending(tmp_path):
    path = save(tmp_path / "a.jpg", encoded("TIFF"))
    (photograph,) = Library([path], tmp_path / "uploads", Limits()).all()
    assert shown(photograph).media_type == "image/png"
    assert np.array_equal(decoded(shown(photograph)), PIXELS)


def test_a_thumbnail_of_a_jpeg_is_not_decoded_at_its_size(tmp_path, monkeypatch):
    path = save(tmp_path / "a.jpg", encoded("JPEG", np.zeros((2000, 3000, 3), np.uint8)))
    (photograph,) = Library([path], tmp_path / "uploads", Limits()).all()
    loaded = []
    real = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda self: (real(self), loaded.append(self.size))[0])
    photograph.thumbnail()
    assert max(loaded) <= (750, 500)
