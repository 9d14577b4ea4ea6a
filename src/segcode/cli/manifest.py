"""The table of a folder's maps: each image once, with what became of it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from segcode.files import write_text

if TYPE_CHECKING:
    from segcode.batch import Outcome


class Row(NamedTuple):
    """One line.

    Attributes:
        image: its name below the folder that all images share.
        labelled: pixels of known class.
        expected_change: the share of the map that the best next label is expected to change, 0..1.
        sha256: of NAME_labels.png; empty if there is no map.
        problem: why there is none; empty if there is one.
    """

    image: str
    labelled: int
    expected_change: float
    sha256: str
    problem: str


class Manifest:
    """OUT/manifest.csv: lines are appended as they come, so that a killed run can go on, and ordered at the end."""

    def __init__(self, out: Path, resume: bool) -> None:
        """Begin a table, or go on with the one that is there."""
        self._out, self.path = out, out / "manifest.csv"
        self.rows = _rows(self.path) if resume else {}
        write_text(self.path, _text(self.rows.values()))

    def has_map(self, name: str) -> bool:
        """Whether the map of an image is there as its line says."""
        from segcode.batch import digest_of

        row = self.rows.get(name)
        return row is not None and row.sha256 != "" and row.sha256 == digest_of(self._out / name)

    def add(self, outcome: Outcome) -> None:
        """Append a line, which replaces an earlier one of the same image."""
        row = Row(outcome.name, outcome.labelled, outcome.expected_change, outcome.digest, outcome.problem)
        self.rows[row.image] = row
        with self.path.open("ab") as file:
            file.write(os.fsencode(_text([row], header=False)))

    def order(self) -> list[Row]:
        """Write all lines, those without a map last, and return the others: the largest expected change first."""
        ordered = sorted(self.rows.values(), key=lambda row: (row.problem != "", -row.expected_change))
        write_text(self.path, _text(ordered))
        return [row for row in ordered if not row.problem]


def _rows(table: Path) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    text = os.fsdecode(table.read_bytes()) if table.exists() else ""
    for line in csv.reader(StringIO(text, newline="")):
        with suppress(ValueError):  # the header, or a line that a killed run did not end
            image, labelled, change, digest, problem = line
            rows[image] = Row(image, int(labelled), float(change), digest, problem)
    return rows


def _text(rows: Iterable[Row], header: bool = True) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(Row._fields)
    writer.writerows((*row[:2], f"{row.expected_change:.6f}", *row[3:]) for row in rows)
    return text.getvalue()
