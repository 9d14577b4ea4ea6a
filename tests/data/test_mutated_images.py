"""Damaged files give a valid array or a DataError; SEGCODE_SOAK=1 tries ten times as many."""

import io
import os
from collections.abc import Callable

import numpy as np
import pytest
from pictures import noise
from PIL import Image as Pillow

from segcode.classes import CAMVID
from segcode.data.camvid import ORIGINAL
from segcode.data.images import image_info, read_image
from segcode.data.labels import encode_labels, read_colour_labels, read_index_labels
from segcode.errors import DataError
from segcode.tensors import IGNORE

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")

CASES = 1000 if os.environ.get("SEGCODE_SOAK") else 100
IDS = {index: index for index in range(11)} | {IGNORE: IGNORE}
COLOURS = {colour: number % 11 for number, (colour, _) in enumerate(ORIGINAL.values())}


def saved(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    exif = Pillow.Exif()
    exif[0x0112], exif[0x010E], exif[0x0131] = 6, "an image", "a camera"
    content = io.BytesIO()
    picture.save(content, kind, exif=exif, **options)
    return content.getvalue()


def images() -> list[bytes]:
    colours, grey = Pillow.fromarray(noise(0, 24, 20)), Pillow.fromarray(noise(1, 24, 20)[..., 0])
    return [
        *(saved(colours, kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")),
        *(saved(colours, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")),
        saved(colours, "JPEG", progressive=True, subsampling=2),
        saved(colours, "WEBP", lossless=True),
        saved(colours.convert("CMYK"), "JPEG"),
        *(saved(grey.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "I;16")),
    ]


def label_files() -> list[bytes]:
    labels = np.random.default_rng(0).choice(np.array([*range(11), IGNORE], np.uint8), (24, 20))
    palette = Pillow.fromarray(labels).convert("P")
    palette.putpalette([value for colour in CAMVID.colours for value in colour])
    painted = Pillow.fromarray(np.array(list(COLOURS), np.uint8)[labels % 32])
    few = Pillow.fromarray(labels % 3)
    return [
        encode_labels(labels, CAMVID),
        *(saved(Pillow.fromarray(labels), kind) for kind in ("PNG", "BMP", "TIFF")),
        saved(Pillow.fromarray(labels.astype(np.uint16)), "PNG"),
        saved(palette, "PNG", bits=8),
        saved(few.convert("P"), "PNG", bits=2),
        saved(painted, "PNG"),
        saved(painted.quantize(32), "PNG"),
    ]


def flipped(rng: np.random.Generator, content: bytes) -> bytes:
    changed = bytearray(content)
    for place in rng.integers(0, len(changed), rng.integers(1, 8)):
        changed[place] ^= int(rng.integers(1, 256))
    return bytes(changed)


def cut(rng: np.random.Generator, content: bytes) -> bytes:
    start, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    return content[:start] if rng.random() < 0.5 else content[:start] + content[end:]


def inserted(rng: np.random.Generator, content: bytes) -> bytes:
    place = int(rng.integers(0, len(content) + 1))
    return content[:place] + rng.bytes(int(rng.integers(1, 64))) + content[place:]


def swapped(rng: np.random.Generator, content: bytes) -> bytes:
    a, b, c, d = sorted(rng.integers(0, len(content) + 1, 4).tolist())
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def header_flipped(rng: np.random.Generator, content: bytes) -> bytes:
    return flipped(rng, content[:100]) + content[100:]


MUTATIONS: tuple[Callable[[np.random.Generator, bytes], bytes], ...] = (flipped, cut, inserted, swapped, header_flipped)


def mutated(files: list[bytes], case: int) -> bytes:
    rng = np.random.default_rng(case)
    content = files[case % len(files)]
    for mutate in rng.choice(len(MUTATIONS), rng.integers(1, 3)):
        content = MUTATIONS[mutate](rng, content)
    return content


def attempt(read: Callable[[], np.ndarray]) -> np.ndarray | None:
    try:
        return read()
    except DataError:
        return None


def test_a_mutated_image_is_an_image_or_a_data_error() -> None:
    files = images()
    for case in range(CASES):
        content = mutated(files, case)
        image = attempt(lambda content=content: read_image(content))
        info = attempt(lambda content=content: image_info(content))
        if image is not None:
            assert image.dtype == np.uint8, case
            assert info is not None, case
            assert image.shape == (info.height, info.width, 3), case


@pytest.mark.parametrize("kind", ["ids", "colours"])
def test_mutated_labels_are_labels_or_a_data_error(kind: str, tmp_path) -> None:
    files, path = label_files(), tmp_path / "a.png"
    for case in range(CASES):
        path.write_bytes(mutated(files, case))
        if kind == "ids":
            labels = attempt(lambda: read_index_labels(path, CAMVID, IDS).labels)
        else:
            labels = attempt(lambda: read_colour_labels(path, COLOURS).labels)
        if labels is not None:
            assert labels.dtype == np.uint8, case
            assert labels.ndim == 2, case
            assert set(np.unique(labels).tolist()) <= {*range(11), IGNORE}, case
