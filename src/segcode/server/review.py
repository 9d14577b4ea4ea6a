"""A review of folders of work: how far two maps of each image agree, and a report for each annotator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.data.folder import CLASS_FILE, read_class_file, read_partial_labels
from segcode.data.images import read_image
from segcode.data.pairs import PairedFiles
from segcode.errors import DataError, SegcodeError
from segcode.metrics import ConfusionMatrix, cohens_kappa, confusion_matrix, defined, iou, mean_iou, pixel_accuracy
from segcode.segmenters.named_classes import classes_of
from segcode.server.journal import Document, Log, journals_in, read_log, require_work
from segcode.server.library import Photograph
from segcode.tensors import IGNORE, Image, LabelImage

Row: TypeAlias = dict[str, str | int | float | None]
"""A line of a table; shares are in 0..1."""

PAUSE: Final = timedelta(minutes=5)
"""A longer time between two lines of a person is a pause, and no time of work."""


class ImageWork(NamedTuple):
    """The work on an image: its name, the folder of work, the lines of its journal, and what they lead to."""

    name: str
    folder: Path
    log: Log
    document: Document

    def map(self, kind: str, classes: ClassSet) -> LabelImage:
        """Its map in a subfolder. Raises DataError or TruthError if it is missing, damaged, or of other classes."""
        return read_partial_labels(self.folder / kind / f"{self.name}.png", self.log.head.image, classes).labels


class Compared(NamedTuple):
    """Two maps of an image: each as the work on it and the subfolder of the map."""

    one: tuple[ImageWork, str]
    other: tuple[ImageWork, str]

    @property
    def name(self) -> str:
        """Of the image."""
        return self.one[0].name

    def maps(self, classes: ClassSet) -> tuple[LabelImage, LabelImage]:
        """Both. Raises DataError or TruthError if one is missing or damaged."""
        (one, kind), (other, other_kind) = self
        return one.map(kind, classes), other.map(other_kind, classes)

    def image(self) -> Image:
        """The image, white where its file is not what it was."""
        size = self.one[0].log.head.image
        for work, _ in self:
            try:
                image = read_image(Path(work.log.head.path))
            except DataError:
                continue
            if image.shape[:2] == size:
                return image
        return np.full((*size, 3), 255, np.uint8)


@dataclass
class Annotator:
    """A person's work; their `images` are those that they labelled or called done.

    Attributes:
        minutes: of work, without pauses.
        finished: images that they called done first.
        accepted: images that they called done last and another person accepted.
        sent_back: times that images came back which they had called done.
        reviews: verdicts that they gave.
    """

    name: str
    images: int = 0
    strokes: int = 0
    minutes: float = 0.0
    finished: int = 0
    accepted: int = 0
    sent_back: int = 0
    reviews: int = 0


def read_work(folder: Path, problems: list[str]) -> list[ImageWork]:
    """The work on each image of a folder; why some of it cannot be read is added to the problems.

    Raises:
        DataError: if it is no folder of work.
    """
    require_work(folder)
    works = []
    for path, name in journals_in(folder).items():
        try:
            if log := read_log(path):
                works.append(ImageWork(name, folder, log, log.document()))
        except DataError as error:
            problems.append(str(error))
    return works


def of_two_people(works: Sequence[ImageWork], others: Sequence[ImageWork]) -> list[Compared]:
    """The images that are done in two folders of work, known by their content; of copies those of one name."""
    found: defaultdict[str, dict[str, ImageWork]] = defaultdict(dict)
    for other in others:
        if other.document.done:
            found[other.log.head.digest][other.name] = other
    pairs = []
    for work in works:
        if work.document.done and (copies := found.get(work.log.head.digest)):
            other = copies.get(work.name) or next(iter(copies.values()))
            pairs.append(Compared((work, "labels"), (other, "labels")))
    return pairs


def of_review(works: Sequence[ImageWork]) -> list[Compared]:
    """The images that are accepted: the map that was first called done, and the one that was accepted."""
    return [Compared((work, "first"), (work, "labels")) for work in works if work.document.review == "accepted"]


def classes_of_work(works: Sequence[ImageWork]) -> ClassSet:
    """The classes of the class file in the folder of work, or of the first image where there is none."""
    file = works[0].folder / CLASS_FILE
    return read_class_file(file).classes if file.exists() else classes_of(works[0].log.head.classes)


def no_pixels(classes: ClassSet) -> ConfusionMatrix:
    """The sum of `counted` before the first image."""
    return torch.zeros(len(classes) + 1, len(classes) + 1, dtype=torch.int64)


def counted(one: UInt8[ndarray, "*size"], other: UInt8[ndarray, "*size"], classes: ClassSet) -> ConfusionMatrix:
    """Pixels by their class in two maps, `other` in the rows; void is the last class."""
    maps = [torch.from_numpy(np.where(labels == IGNORE, np.uint8(len(classes)), labels)) for labels in (one, other)]
    return confusion_matrix(maps[0], maps[1], len(classes) + 1)


def consensus(one: LabelImage, other: LabelImage) -> LabelImage:
    """The classes that two maps agree on, IGNORE elsewhere."""
    return np.where(one == other, one, np.uint8(IGNORE))


def agreement(matrix: ConfusionMatrix) -> Row:
    """The share of pixels that are of one class in both maps, Cohen's kappa, and the mean IoU; None if undefined."""
    scores = {"agreement": pixel_accuracy, "kappa": cohens_kappa, "mean_iou": mean_iou}
    return {name: defined(score(matrix)) for name, score in scores.items()}


def by_class(matrix: ConfusionMatrix, classes: ClassSet) -> list[Row]:
    """For each class that occurs, and void, the IoU of both maps and the pixels that it has in either."""
    columns = zip((*classes.names, "void"), iou(matrix), matrix.sum(0).tolist(), matrix.sum(1).tolist(), strict=True)
    return [
        {"class": name, "iou": float(score), "pixels": pixels, "pixels_of_other": others}
        for name, score, pixels, others in columns
        if pixels or others
    ]


def annotators(works: Sequence[ImageWork]) -> dict[str, Annotator]:
    """Who did what in a folder of work, by name; empty for those who gave none."""
    people: dict[str, Annotator] = {}
    times: defaultdict[str, list[datetime]] = defaultdict(list)
    for work in works:
        document, labelled = Document(), set()
        for entry in work.log.entries:
            finisher = document.finished_by
            document.apply(entry)
            person = people.setdefault(entry.by, Annotator(entry.by))
            times[entry.by].append(entry.at)
            person.strokes += entry.mark is not None
            person.reviews += entry.review is not None
            if entry.mark is not None or entry.done:
                labelled.add(entry.by)
            if entry.review == "sent back" and finisher is not None:
                people[finisher].sent_back += 1
        for name in labelled:
            people[name].images += 1
        if document.first_finished_by is not None:
            people[document.first_finished_by].finished += 1
        if document.review == "accepted" and document.finished_by is not None:
            people[document.finished_by].accepted += 1
    for name, each in times.items():
        gaps = [after - before for before, after in pairwise(sorted(each))]
        people[name].minutes = sum((gap for gap in gaps if gap <= PAUSE), timedelta()) / timedelta(minutes=1)
    return people


def on_honeypots(works: Sequence[ImageWork], honeypots: PairedFiles, problems: list[str]) -> list[Row]:
    """For each person who called honeypots done first, how many, and how good those maps are.

    `gained` is by how much their accuracy is above that of the initial predictions. What cannot be measured is added to
    the problems.
    """
    truths = {Photograph.of(pair.name, pair.image).digest(): at for at, pair in enumerate(honeypots.pairs)}
    classes = honeypots.classes
    matrices: defaultdict[str, list[ConfusionMatrix]] = defaultdict(list)
    for work in works:
        at, person = truths.get(work.log.head.digest), work.document.first_finished_by
        if at is None or person is None:
            continue
        try:
            truth = honeypots[at].labels
            assert truth is not None  # open_honeypots has seen them
            known, maps = truth != IGNORE, (work.map("first", classes), work.map("initial", classes))
            matrices[person].append(torch.stack([counted(one[known], truth[known], classes) for one in maps]))
        except SegcodeError as error:
            problems.append(str(error))
    rows: list[Row] = []
    for name, each in matrices.items():
        made, initial = torch.stack(each).sum(0)
        accuracy, scored = float(pixel_accuracy(made)), float(mean_iou(made, without=len(classes)))
        gained = accuracy - float(pixel_accuracy(initial))
        rows.append({"name": name, "honeypots": len(each), "accuracy": accuracy, "mean_iou": scored, "gained": gained})
    return rows
