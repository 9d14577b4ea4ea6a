"""A source that reads each sample from an image file and a label file; the data sets differ in where these are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segcode.classes import ClassSet
from segcode.data.images import read_image
from segcode.errors import DataError
from segcode.sample import Sample
from segcode.tensors import LabelImage


@dataclass(frozen=True)
class Pair:
    """Where one sample lies. `labels` is None where a split has no public labels."""

    name: str
    image: Path
    labels: Path | None


@dataclass(frozen=True)
class PairedFiles:
    """A `Source` of image and label files.

    Args:
        classes: the classes of the train ids that `read_labels` gives.
        pairs: in order; the files are opened only when a sample is asked for.
        read_labels: a label file as train ids.
    """

    classes: ClassSet
    pairs: tuple[Pair, ...]
    read_labels: Callable[[Path], LabelImage]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(pair.name for pair in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        image = read_image(pair.image)
        if pair.labels is None:
            return Sample(pair.name, image)
        labels = self.read_labels(pair.labels)
        if labels.shape != image.shape[:2]:
            raise DataError(
                f"{pair.labels} is {labels.shape[0]} x {labels.shape[1]}, but its image {pair.image} is "
                f"{image.shape[0]} x {image.shape[1]}: both must have one size"
            )
        return Sample(pair.name, image, labels)


def require_pairs(pairs: Sequence[Pair], folder: Path) -> tuple[Pair, ...]:
    """The pairs as a tuple. Raises DataError if there are none, or if two have one name."""
    if not pairs:
        raise DataError(f"{folder} has no images: check the path, or unpack the data set again")
    names = [pair.name for pair in pairs]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{folder} has several images called '{repeated}': names must differ without their suffix")
    return tuple(pairs)


def require_images(labels: Iterable[Path], pairs: Iterable[Pair]) -> None:
    """Raises DataError if a label file belongs to no image."""
    if orphans := sorted(set(labels) - {pair.labels for pair in pairs}):
        raise DataError(f"{len(orphans)} label files have no image, first {orphans[0]}: add the image or remove them")
