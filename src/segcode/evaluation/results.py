"""One record of results for all measurements: counts of each image, summed up in flat rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

import numpy as np
import torch

from segcode.classes import ClassSet
from segcode.evaluation.bootstrap import Paired
from segcode.evaluation.images import LabelledImage
from segcode.metrics import ConfusionMatrix, confusion_matrix, defined, iou, mean_iou, pixel_accuracy
from segcode.tensors import IGNORE, LabelImage
from segcode.truth.truth import Truth

Row = dict[str, str | int | float | None]
"""Cells by column: a subject, and its scores in 0..1, None where undefined."""

PixelSet = Literal["all", "unlabelled"]

BELOW_PASTING: Final = 0.002
"""An image ends below pasting if its accuracy is lower by more than this."""


@dataclass(frozen=True)
class Subject:
    """The subject of a row.

    Attributes:
        protocol: clicks, pixels, mask, click or calibration.
        truth: the class that is labelled; None for all classes, or without truth.
        amount: clicks or labelled pixels, or the extent of a mask.
        pixels: all known pixels, or those that the truth does not label.
    """

    protocol: str
    method: str
    truth: str | None
    amount: int | str
    pixels: PixelSet = "all"


@dataclass(frozen=True)
class Outcome:
    """Counts of one image.

    Attributes:
        matrix: pixels by true and predicted class.
        initial: right pixels of the initial prediction.
        pasted: right pixels of the initial prediction with the same truth written in.
        seconds: from a truth to the map, what an image alone gives being ready; None without truth.
        attainable: pixels of the largest wrong regions, one for each click; None without clicks.
    """

    matrix: ConfusionMatrix
    initial: int
    pasted: int
    seconds: float | None
    attainable: int | None


@dataclass(frozen=True)
class Results:
    """A measurement.

    Attributes:
        outcomes: of each subject and image, for intervals.
    """

    rows: tuple[Row, ...]
    images: int
    outcomes: Mapping[Subject, Sequence[Outcome]]
    block: int = 1

    def find(self, **cells: object) -> list[Row]:
        """The rows with these cells, in order."""
        return [row for row in self.rows if all(row.get(name) == value for name, value in cells.items())]

    def values(self, column: str, **cells: object) -> list[str]:
        """The distinct values of a column in the rows with these cells, without None, in order."""
        found = (row.get(column) for row in self.find(**cells))
        return [str(value) for value in dict.fromkeys(found) if value is not None]

    def paired(self, before: Subject, after: Subject) -> Paired:
        """Two subjects on the same images."""
        matrices = {subject: [outcome.matrix for outcome in self.outcomes[subject]] for subject in (before, after)}
        return Paired(matrices[before], matrices[after], self.block)


class Tally:
    """Counts by subject and image."""

    def __init__(self, classes: ClassSet) -> None:
        self._classes = classes
        self.outcomes: defaultdict[Subject, list[Outcome]] = defaultdict(list)

    def add(
        self,
        subject: Subject,
        image: LabelledImage,
        prediction: LabelImage,
        truth: Truth | None = None,
        seconds: float | None = None,
        attainable: int | None = None,
    ) -> None:
        """Count a map of an image; of a map that follows from a truth, the unlabelled pixels also by themselves."""
        initial = image.initial.labels
        pasted = initial if truth is None else np.where(truth.known_mask, truth.labels, initial)
        labels: dict[PixelSet, LabelImage] = {"all": image.labels}
        if truth is not None:
            labels["unlabelled"] = np.where(truth.known_mask, np.uint8(IGNORE), image.labels)
        for pixels, true in labels.items():
            known = true != IGNORE
            outcome = Outcome(
                confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(true), len(self._classes)),
                int((initial == true)[known].sum()),
                int((pasted == true)[known].sum()),
                seconds,
                attainable,
            )
            self.outcomes[replace(subject, pixels=pixels)].append(outcome)

    def rows(self) -> list[Row]:
        """Scores of each subject from one confusion matrix over all images."""
        return [self._row(subject, outcomes) for subject, outcomes in self.outcomes.items()]

    def _row(self, subject: Subject, outcomes: Sequence[Outcome]) -> Row:
        matrix = torch.stack([outcome.matrix for outcome in outcomes]).sum(0)
        total, right = int(matrix.sum()), int(matrix.diag().sum())
        initial, pasted = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("initial", "pasted"))
        seconds = [outcome.seconds for outcome in outcomes if outcome.seconds is not None]
        row: Row = asdict(subject) | {
            "images": len(outcomes),
            "pixel_accuracy": defined(pixel_accuracy(matrix)),
            "mean_iou": defined(mean_iou(matrix)),
            "error_removed": ratio(right - initial, total - initial),
            "error_removed_after_pasting": ratio(right - pasted, total - pasted),
            "images_below_pasting": sum(map(_is_below_pasting, outcomes)),
            "seconds": float(np.median(seconds)) if seconds else None,
        }
        if subject.truth is not None:
            row["mean_iou_without_truth"] = defined(mean_iou(matrix, self._classes.index(subject.truth)))
        attainable = [outcome.attainable for outcome in outcomes if outcome.attainable is not None]
        if attainable and subject.pixels == "all":
            row["click_efficiency"] = ratio(right - initial, sum(attainable))
        named = zip(self._classes.names, iou(matrix).tolist(), strict=True)
        return row | {f"iou {name}": defined(score) for name, score in named}


def ratio(part: int | float, of: int | float) -> float | None:
    """None in place of a division by zero: JSON has no NaN."""
    return part / of if of else None


def _is_below_pasting(outcome: Outcome) -> bool:
    right, total = int(outcome.matrix.diag().sum()), int(outcome.matrix.sum())
    return outcome.pasted - right > BELOW_PASTING * total
