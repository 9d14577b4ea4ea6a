"""All problems of a data set at once, and counts of its images and classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.data.pairs import PairedFiles
from segcode.errors import DataError
from segcode.sample import Source

Progress = Callable[[Iterable["Findings"]], Iterable["Findings"]]
"""Goes through what it is given and may show how far it is, as `rich.progress.track` with a total does."""


class Size(NamedTuple):
    """The size of an image in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class Findings:
    """The size, labels and problems of one sample.

    Attributes:
        size: of its image; None if it could not be read.
        pixels: of its labels by id; None if it has none or could not be read.
        problem: why it cannot be used, and the cure.
        notes: what is unusual in its files, though they can be read.
    """

    name: str
    size: Size | None = None
    pixels: Integer[ndarray, "256"] | None = None
    problem: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The counts and problems of a source.

    Attributes:
        problems: of the samples that cannot be used, in the source's order.
        noted: the samples with notes.
        sizes: how many images have which size, the most frequent first.
        pixels: labelled pixels of each class.
        images: images that have the class.
    """

    classes: ClassSet
    problems: tuple[Findings, ...]
    noted: tuple[Findings, ...]
    unlabelled: tuple[str, ...]
    sizes: dict[Size, int]
    pixels: Integer[ndarray, " M"]
    images: Integer[ndarray, " M"]
    void_pixels: int

    @property
    def shares(self) -> Float[ndarray, " M"]:
        """Each class's share of the labelled pixels; zeros if there are none."""
        return self.pixels / max(self.pixels.sum(), 1)

    @property
    def void_share(self) -> float:
        """The share of all pixels of label images that is void; 0 if there are none."""
        return float(self.void_pixels / max(self.pixels.sum() + self.void_pixels, 1))


def check(source: Source, progress: Progress = iter) -> Report:
    """Reads every sample, several at once, and reports every problem rather than the first."""
    findings = list(progress(_read_all(source)))
    counts = np.array([f.pixels for f in findings if f.pixels is not None], np.int64).reshape(-1, 256)
    classes, void = np.split(counts, [len(source.classes)], axis=1)
    return Report(
        classes=source.classes,
        problems=_repeated(source) + tuple(f for f in findings if f.problem),
        noted=tuple(f for f in findings if f.notes),
        unlabelled=tuple(f.name for f in findings if f.pixels is None and not f.problem),
        sizes=dict(Counter(f.size for f in findings if f.size).most_common()),
        pixels=classes.sum(axis=0),
        images=(classes > 0).sum(axis=0),
        void_pixels=int(void.sum()),
    )


def _read_all(source: Source) -> Iterator[Findings]:
    with ThreadPoolExecutor() as threads:
        yield from threads.map(partial(_find, source), range(len(source)))


def _find(source: Source, index: int) -> Findings:
    try:
        sample = source[index]
        notes = source.notes(index) if isinstance(source, PairedFiles) else ()
    except DataError as error:
        return Findings(source.names[index], problem=str(error))
    height, width, _ = sample.image.shape
    pixels = None if sample.labels is None else np.bincount(sample.labels.ravel(), minlength=256)
    return Findings(sample.name, Size(height, width), pixels, notes=notes)


def _repeated(source: Source) -> tuple[Findings, ...]:
    counts = Counter(source.names)
    repeated = [(name, f"'{name}' names {n} samples: names must differ") for name, n in counts.items() if n > 1]
    return tuple(Findings(name, problem=problem) for name, problem in repeated)
