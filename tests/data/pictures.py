"""Tiny pictures, labels and sources for the tests."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from segcode.classes import CAMVID, ClassSet
from segcode.errors import DataError
from segcode.sample import Sample
from segcode.tensors import IGNORE

HEIGHT, WIDTH = 6, 8


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)
    return path


def noise(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def ids(seed: int, values: list[int], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), (height, width))


def to_train_ids(classes: ClassSet, raw: np.ndarray) -> np.ndarray:
    """Ids of label files as train ids, void where an id belongs to no class."""
    labels = np.full(raw.shape, IGNORE, np.uint8)
    for index, number in enumerate(classes.raw_ids):
        labels[raw == number] = index
    return labels


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG, with length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


class InMemory:
    """A source of given samples; an exception among them is raised when it is read."""

    def __init__(self, samples: list[Sample | DataError], classes: ClassSet = CAMVID) -> None:
        self.classes = classes
        self.samples = samples

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(s.name if isinstance(s, Sample) else f"damaged_{i}" for i, s in enumerate(self.samples))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        match self.samples[index]:
            case Sample() as sample:
                return sample
            case error:
                raise error
