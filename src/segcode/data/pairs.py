"""A source that reads each sample from an image file and a label file; the data sets differ in where these are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Final, NamedTuple

from segcode.classes import ClassSet
from segcode.data.files import by_name, pictures_in
from segcode.data.images import open_image, orientation, read_image
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
        if pair.labels is None:
            return ()
        return self.read_labels(pair.labels).notes + _turned(pair.image) + _turned(pair.labels)


def summary_of_notes(source: Source) -> str | None:
    """How many samples of a source of files have notes, and the first note; None if there are none.

    Raises:
        DataError: as `PairedFiles.notes`.
    """
    files = _files_of(source)
    with ThreadPoolExecutor() as threads:
        first = [notes[0] for notes in threads.map(files.notes, range(len(files))) if notes] if files else []
    return f"{len(first)} of {len(source)} samples have unusual files, the first: {first[0]}" if first else None


def in_both(one: Source, other: Source) -> list[Path]:
    """The image files of a source whose content another one has, too; none if they do not read files."""
    files, others = (
        [pair.image for pair in found.pairs if pair.image.is_file()] if (found := _files_of(source)) else []
        for source in (one, other)
    )
    sizes = {path.stat().st_size for path in files} & {path.stat().st_size for path in others}  # others are not read
    known = {_digest(path) for path in others if path.stat().st_size in sizes}
    return [path for path in files if path.stat().st_size in sizes and _digest(path) in known]


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()


def _files_of(source: Source) -> PairedFiles | None:
    """A source, or the part of one, as files; None if it has none."""
    if isinstance(source, Subset) and (files := _files_of(source.source)):
        return replace(files, pairs=tuple(files.pairs[place] for place in source.places))
    return source if isinstance(source, PairedFiles) else None


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


def _turned(file: Path) -> tuple[str, ...]:
    """A note if image and labels may not lie on each other, since one of them was drawn on pixels as they are stored.

    Raises:
        DataError: if the header cannot be read.
    """
    with open_image(file, header=True) as picture:
        turn = orientation(picture)
    if turn == 1:
        return ()
    if turn is None:
        return (f"{file} has a damaged EXIF block and is taken as it is stored: check that image and labels fit",)
    return (f"{file} is turned as its EXIF orientation {turn} says: if image and labels do not fit, remove that note",)
