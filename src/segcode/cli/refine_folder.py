"""`segcode refine-folder`: many images, each with partial labels, to better maps."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from segcode.cli.given_truth import partial_truth, read_extents, read_partial_labels
from segcode.cli.loading import Chosen
from segcode.cli.options import Extents, Images, Out, Resume
from segcode.cli.outputs import Made, are_written, map_files, refuse_to_overwrite, write_each
from segcode.errors import DataError
from segcode.files import write_text

if TYPE_CHECKING:
    from segcode.tensors import Image, LabelImage

_SHOWN: Final = 5

LabelFolder = Annotated[
    Path,
    typer.Option(
        "--labels",
        metavar="FOLDER",
        help="Holds NAME.png for an image NAME: class indices, 255 where unknown.",
        show_default=False,
    ),
]


class Given(NamedTuple):
    """An image and its partial labels."""

    image: Image
    labels: LabelImage | None


class Row(NamedTuple):
    """One line of the table that orders the images.

    Attributes:
        image: name below the folder that all images share.
        labelled: pixels of known class.
        expected_change: the share of the map that the best next label is expected to change, 0..1.
    """

    image: str
    labelled: int
    expected_change: float


def refine_folder(
    images: Images,
    labels: LabelFolder,
    extent: Extents,
    chosen: Chosen,
    out: Out,
    resume: Resume = False,
) -> None:
    """Refine many images, each by the partial labels of its name, and say which to look at first.

    The labels are one-channel images of class indices, 255 where unknown, as another sensor, a map or annotators give
    them; those of FOLDER/a/NAME.png belong to the image a/NAME. An image without labels gets the initial prediction.

    Each image gives NAME_labels.png, in which the labelled pixels stand as given, NAME_overlay.png and
    NAME_uncertainty.png. OUT/look_first.csv lists the images by the share of the map that one more label is expected
    to change, the largest first. A file that cannot be read, or does not fit, does not stop the others; the end of
    the output lists all such files.
    """
    from segcode.data.files import find_images, output_names, pictures_below
    from segcode.data.images import read_image

    found = find_images(images)
    named, clashes = output_names(found)
    given, doubles = pictures_below(labels)
    problems = [*clashes.values(), *(doubles[name] for name in named if name in doubles)]
    known = {name: given.get(name) for name in named if name not in doubles}
    if not any(known.values()):
        cause = f"{labels} has no {next(iter(named), '')}.png, nor labels of any other image: name them as the images"
        raise DataError("\n".join(problems) or cause)
    if spare := [path for name, path in given.items() if name not in {*named, *clashes}]:
        typer.echo(f"{len(spare)} label files belong to none of the images, first {spare[0]}", err=True)
    written = [file for name in known for file in map_files(out / name)]
    refuse_to_overwrite([*found, *(file for file in known.values() if file)], written)
    refiner, classes = chosen.refiner()
    extents = read_extents(extent, classes)
    table = out / "look_first.csv"
    rows = _rows(table) if resume else {}
    todo = [name for name in known if not (name in rows and are_written(out / name))]

    def read(name: str) -> Given:
        image, file = read_image(named[name]), known[name]
        size = image.shape[0], image.shape[1]
        return Given(image, read_partial_labels(file, size, classes) if file else None)

    def make(name: str, given: Given) -> Made:
        result = refiner.set_image(given.image, name)
        if given.labels is not None:
            result = refiner.refine(partial_truth(given.labels, len(classes), extents))
        rows[name] = Row(name, int(result.truth.known_mask.sum()), refiner.expected_change())
        return Made(out / name, given.image, result.labels, result.entropy())

    def write(name: str, made: Made) -> None:
        made.write(classes)
        line = _text([rows[name]], header=False)  # ordered at the end; here so that --resume finds it
        with table.open("ab") as file:
            file.write(os.fsencode(line))

    write_text(table, _text(rows.values()))
    problems += write_each(todo, read, make, write, "Refining")
    own = [row for name in known if (row := rows.get(name)) and are_written(out / name)]
    refined = sum(row.labelled > 0 for row in own)
    there = f", {len(known) - len(todo)} were there" if resume else ""
    typer.echo(f"{refined} of {len(found)} images are refined, {len(own) - refined} have no labels{there}, in {out}")
    ordered = sorted(rows.values(), key=lambda row: -row.expected_change)
    write_text(table, _text(ordered))
    if ordered:
        typer.echo(f"Look at these first (share of the map that one more label may change; all in {table}):")
    for row in ordered[:_SHOWN]:
        typer.echo(f"  {100 * row.expected_change:5.2f} %  {row.image}")
    if problems:
        raise DataError("\n".join(problems))


def _rows(table: Path) -> dict[str, Row]:
    """The rows of a table that is there, by image."""
    rows: dict[str, Row] = {}
    text = os.fsdecode(table.read_bytes()) if table.exists() else ""
    for line in csv.reader(StringIO(text, newline="")):
        with suppress(ValueError):  # the header, or a line that a killed run did not end
            image, labelled, change = line
            rows[image] = Row(image, int(labelled), float(change))
    return rows


def _text(rows: Iterable[Row], header: bool = True) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(Row._fields)
    writer.writerows((row.image, row.labelled, f"{row.expected_change:.6f}") for row in rows)
    return text.getvalue()
