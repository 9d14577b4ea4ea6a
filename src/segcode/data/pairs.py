"""A source that reads each sample from an image file and a label file; the data sets differ in where these are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from segcode.classes import ClassSet
from segcode.data.files import by_name, pictures_in
from segcode.data.images import image_info, read_image
from segcode.data.labels import LabelFile
from segcode.data.select import Subset
from segcode.errors import DataError
from segcode.sample import Sample, Source

_SHOWN: Final = 5  # problems in a message


class Pair(NamedTuple):
    """The files of one sample. `labels` is None where a split has no public labels."""

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
    read_labels: Callable[[Path], LabelFile]

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
        labels = self.read_labels(pair.labels).labels
        if labels.shape != image.shape[:2]:
            raise DataError(
                f"{pair.labels} is {labels.shape[0]} x {labels.shape[1]}, but its image {pair.image} is "
                f"{image.shape[0]} x {image.shape[1]}: both must have one size"
            )
        return Sample(pair.name, image, labels)

    def notes(self, index: int) -> tuple[str, ...]:
        """A line for each unusual thing in the files of a sample that can be read; its image is not decoded.

        Raises:
            DataError: if the label file or the header of the image cannot be read.
        """
        pair = self.pairs[index]
        return () if pair.labels is None else self.read_labels(pair.labels).notes + _turned(pair.image)


def summary_of_notes(source: Source) -> str | None:
    """How many samples of a source of files have notes, and the first note; None if there are none.

    Raises:
        DataError: as `PairedFiles.notes`.
    """
    places = list(range(len(source)))
    while isinstance(source, Subset):
        places = [source.places[place] for place in places]
        source = source.source
    if not isinstance(source, PairedFiles):
        return None
    with ThreadPoolExecutor() as threads:
        first = [notes[0] for notes in threads.map(source.notes, places) if notes]
    return f"{len(first)} of {len(places)} samples have unusual files, the first: {first[0]}" if first else None


class UnpairedError(DataError):
    """Files of a data set have no partner, or several.

    Attributes:
        problems: a line for each.
        rest: the pairs that are sound.
    """

    def __init__(self, problems: Sequence[str], rest: PairedFiles) -> None:
        more = [f"and {len(problems) - _SHOWN} more: `segcode data check` lists them"] * (len(problems) > _SHOWN)
        super().__init__("\n".join([*problems[:_SHOWN], *more]))
        self.problems = tuple(problems)
        self.rest = rest


class Pairing(NamedTuple):
    """Images and their label files.

    Attributes:
        pairs: in the order of the images; the label file may be missing, which reading it says.
        problems: files that cannot be paired, with the reason and the cure.
    """

    pairs: list[Pair]
    problems: list[str]


def pair_files(images: Iterable[Path], labels: Path, ending: str = "") -> Pairing:
    """Images and the label files of their names with `ending` in a folder, whatever image format these have.

    Names are compared as `name_of` gives them.
    """
    photographs, label_files = by_name(images), by_name(pictures_in(labels))
    pairs = [
        Pair(name, image, label_files.files.get(f"{name}{ending}", labels / f"{name}{ending}.png"))
        for name, image in photographs.files.items()
        if f"{name}{ending}" not in label_files.problems
    ]
    known = {f"{name}{ending}" for part in photographs for name in part}
    orphans = [
        f"{path} has no image: add the image or remove it"
        for name, path in label_files.files.items()
        if name not in known
    ]
    return Pairing(pairs, [*photographs.problems.values(), *label_files.problems.values(), *orphans])


def require_pairs(source: PairedFiles, problems: Sequence[str], folder: Path) -> PairedFiles:
    """The source, if it is sound.

    Raises:
        DataError: if there are no images in the folder.
        UnpairedError: if there are problems.
    """
    if problems:
        raise UnpairedError(problems, source)
    if not source.pairs:
        raise DataError(f"{folder} has no images: check the path, or unpack the data set again")
    return source


def _turned(image: Path) -> tuple[str, ...]:
    """A note if labels may have been drawn on other pixels than `read_image` gives."""
    orientation = image_info(image).orientation
    if orientation == 1:
        return ()
    if orientation is None:
        return (f"{image} has a damaged EXIF block and is taken as it is stored: check that its labels fit",)
    return (
        f"{image} is turned as its EXIF orientation {orientation} says: labels that were drawn on the pixels as they "
        "are stored do not fit; then remove that note from the image",
    )
