"""The folder of work at start: images are given the work that was done on them, and what was left half done goes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import count, takewhile
from pathlib import Path
from typing import TypeAlias

import numpy as np

from segcode.classes import ClassSet
from segcode.data.folder import CLASS_FILE, find_class_file, open_folder, read_class_file
from segcode.data.images import is_result
from segcode.data.labels import LabelFile
from segcode.data.pairs import PairedFiles
from segcode.errors import ConfigError, DataError
from segcode.export.runs import encode_runs
from segcode.files import UNFINISHED
from segcode.segmenters.from_labels import CONFIDENCE, LabelSegmenter
from segcode.segmenters.named_classes import ids_of
from segcode.segmenters.specification import to_stderr
from segcode.server.journal import Entry, Head, journals_in, read_head
from segcode.server.library import Photograph
from segcode.server.marks import Region
from segcode.server.studio import MAPS, Studio
from segcode.tensors import IGNORE

Digest: TypeAlias = Callable[[Photograph], str]


def find_work(folder: Path, photographs: Sequence[Photograph]) -> dict[str, str]:
    """Move the work on images that have another name now, as with other folders above them, to that name.

    An image is known by its content. Of images of one content, the one with the most similar name is taken; one with
    another file name only if there is no second of that content.

    Returns:
        the new names by the old ones.
    """
    heads = {name: head for path, name in journals_in(folder).items() if (head := read_head(path))}
    digest = cache(Photograph.digest)
    settled = {one.name for one in photographs if one.name in heads and _is_about(heads[one.name], one, digest)}
    moves = _matches(
        [one for one in photographs if one.name not in settled and one.problem is None],
        {name: head for name, head in heads.items() if name not in settled},
        digest,
    )
    taken = {one.name for one in photographs}
    waiting = dict(moves)
    while waiting:
        free = next((old for old, new in waiting.items() if not _journal(folder, new).exists()), None)
        if free is not None:
            _move(folder, free, waiting.pop(free))
            continue
        new = next(iter(waiting.values()))  # the work on another image is there
        aside = next(
            name for n in count(2) if not _journal(folder, name := f"{new}-{n}").exists() and name not in taken
        )
        _move(folder, new, aside)
        if new in waiting:
            waiting[aside] = waiting.pop(new)
    return moves


def refuse_foreign(folder: Path) -> None:
    """Raises ConfigError for a folder of work with labels that are not the page's: it would replace them."""
    for kind in MAPS:
        if (folder / kind).exists() and not (folder / "journals").is_dir():
            raise ConfigError(
                f"{folder / kind} is not of this page, which keeps its own there: give -o another folder for the work"
            )


def tidy(studio: Studio) -> None:
    """Remove labels and truth that segcode wrote of images that are not done, and files that a kill left unfinished."""
    for kind in (*MAPS, "uploads"):
        for path in (studio.folder / kind).rglob(f"{UNFINISHED}*"):
            path.unlink(missing_ok=True)
    for photograph in studio.library.all():
        finished = [path for path in studio.finished(photograph.name) if is_result(path)]
        with suppress(DataError):  # a journal that cannot be read does not say that the image is not done
            if finished and not studio.image(photograph.name).document.done:
                for path in finished:
                    path.unlink()


def import_truth(studio: Studio, folder: Path) -> list[str]:
    """Label the images that nobody worked on as the label maps of a folder say; void in a map of segcode stays void.

    Returns:
        why images have no such labels.

    Raises:
        ConfigError: if the folder has no maps, or its class file names other classes.
    """
    file = find_class_file(folder)
    known = ids_of(studio.classes) if file is None else read_class_file(file)
    if known.classes.names != studio.classes.names:
        raise ConfigError(f"{file} names the classes {', '.join(known.classes.names)}, and the page has others")
    maps = LabelSegmenter(folder, known, CONFIDENCE, to_stderr)
    problems = []
    for photograph in studio.library.all():
        try:
            image = studio.image(photograph.name)
            if image.document.blank and (entries := _labelled(maps.read(photograph.name), photograph)):
                image.journal.append(*entries)
                for entry in entries:
                    image.document.apply(entry)
        except DataError as error:
            problems.append(str(error))
    return problems


def open_honeypots(folder: Path, classes: ClassSet) -> PairedFiles:
    """The images of known truth in a data set of the kind `folder`; all have been read once.

    Raises:
        ConfigError: if it is no such data set, or has other classes.
        DataError: if an image or its labels are missing or damaged.
    """
    source = open_folder(folder, "all")
    if source.classes.names != classes.names:
        raise ConfigError(
            f"{folder / CLASS_FILE} names the classes {', '.join(source.classes.names)}, and the page has "
            f"{', '.join(classes.names)}: name those, in their order"
        )
    if any(source[index].labels is None for index in range(len(source))):
        raise DataError(f"{folder / 'labels'} is missing: put the label maps of the honeypots there")
    return source


def _labelled(file: LabelFile, photograph: Photograph) -> list[Entry]:
    labels, (rows, columns) = file.labels, photograph.size
    if labels.shape != photograph.size:
        raise DataError(
            f"the labels of {photograph.name} have {labels.shape[0]} x {labels.shape[1]} pixels, and the image has "
            f"{rows} x {columns} (rows x columns): give labels of its size"
        )
    present = [index for index in np.unique(labels).tolist() if index != IGNORE or file.complete]
    return [
        Entry(mark=Region(label=index, size=photograph.size, runs=tuple(encode_runs(labels == index))), by="--labels")
        for index in present
    ]


def without_outputs(images: Sequence[Path], work: Path) -> list[Path]:
    """Images that are no labels or truth in a folder of work, nor uploads in this one, which are listed anyway."""
    own = _absolute(work) / "uploads"
    return [path for path in images if own not in _absolute(path).parents and not _is_output(_absolute(path))]


def _is_output(path: Path) -> bool:
    return any(parent.name in MAPS and (parent.parent / "journals").is_dir() for parent in path.parents)


def _matches(photographs: Sequence[Photograph], heads: Mapping[str, Head], digest: Digest) -> dict[str, str]:
    """New names by old ones."""
    pairs = [
        (_shared(name, photograph.name), name, photograph.name)
        for photograph in photographs
        for name, head in heads.items()
        if _is_about(head, photograph, digest)
    ]
    copies = Counter(old for _, old, _ in pairs)
    moves: dict[str, str] = {}
    for shared, old, new in sorted(pairs, key=lambda pair: -pair[0]):
        if old not in moves and new not in moves.values() and (shared or copies[old] == 1):
            moves[old] = new
    return moves


def _is_about(head: Head, photograph: Photograph, digest: Digest) -> bool:
    """Whether a journal is about an image; a file with another time of change is read for it."""
    if photograph.stamp is None or (photograph.size, photograph.stamp[1]) != (head.image, head.stamp[1]):
        return False
    if photograph.stamp == head.stamp:
        return True
    with suppress(OSError):
        return digest(photograph) == head.digest
    return False


def _shared(one: str, other: str) -> int:
    """How many parts of two names are the same, from the end."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _journal(folder: Path, name: str) -> Path:
    return folder / "journals" / f"{name}.jsonl"


def _move(folder: Path, old: str, new: str) -> None:
    """The journal last: until it has moved, the next start finds it and goes on."""
    for kind in (*MAPS, "journals"):
        suffix = ".jsonl" if kind == "journals" else ".png"
        source, target = folder / kind / f"{old}{suffix}", folder / kind / f"{new}{suffix}"
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps its own name
