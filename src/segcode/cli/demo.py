"""`segcode demo`: refinement by clicks in a minute, on streets that the shipped model has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from segcode.cli.loading import Chosen
from segcode.cli.options import Device, Model
from segcode.cli.progress import progress

if TYPE_CHECKING:
    from rich.table import Table

    from segcode.evaluation.results import Row
    from segcode.tensors import LabelImage

_HEIGHT: Final = 360
_WIDTH: Final = 480
_CLICKS: Final = 5
_RADIUS: Final = 4.0


class Street(NamedTuple):
    """The changes that refinement made to the map of one street, in shares of its pixels.

    Attributes:
        name: name of the street.
        repaired: wrong before and right now.
        broken: right before and wrong now.
    """

    name: str
    repaired: float
    broken: float

    @staticmethod
    def of(name: str, before: LabelImage, after: LabelImage, labels: LabelImage) -> Street:
        """The change from one map to another, judged by exact labels."""
        was, now = before == labels, after == labels
        return Street(name, float((now & ~was).mean()), float((was & ~now).mean()))


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="Folder for the pictures.")] = Path("demo"),
    number: Annotated[int, typer.Option("-n", min=1, max=100, help="How many streets.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Another seed takes other streets.")] = 0,
    model: Model = "streets",
    device: Device = "auto",
) -> None:
    """Predict streets, click on errors, refine, and print how much better the maps are.

    The streets are synthetic, from the test split, and chosen by the seed alone. Each gets five clicks, as an annotator
    would make them: one after the other, in the middle of the largest region that is still wrong.
    """
    from dataclasses import replace

    from rich.console import Console

    from segcode.data.select import Subset
    from segcode.data.sources import open_source
    from segcode.evaluation.annotator import clicked
    from segcode.evaluation.images import labelled_images
    from segcode.evaluation.results import Subject, Tally
    from segcode.export.comparison import before_after, sample_sheet
    from segcode.export.picture import heat, write_picture

    streets = open_source("streets", None, "test", _HEIGHT, _WIDTH)
    refiner, classes = Chosen(model=model, device=device).refiner()
    source = Subset(streets, [streets.names[index] for index in choose(number, len(streets), seed)])
    tally = Tally(classes)
    changes: list[Street] = []
    for image in labelled_images(refiner, source, classes, lambda indices: progress(indices, len(source), "Refining")):
        truth, initial = clicked(refiner, image, _CLICKS, _RADIUS), image.initial
        refined = refiner.refine(truth)
        maps = {"initial prediction": initial, "clicked pixels pasted in": replace(initial, truth=truth)}
        for name, found in (maps | {"refined": refined}).items():
            tally.add(Subject("clicks", name, None, _CLICKS), image, found.labels, truth)
        before, after, entropy = initial.labels, refined.labels, refined.entropy()
        changes.append(Street.of(image.name, before, after, image.labels))
        samples = [drawn.labels for drawn in refiner.sample(6)]
        pictures = {
            "before_after": before_after(image.image, before, after, truth.known_mask, entropy, classes, image.labels),
            "samples": sample_sheet(image.image, samples, classes),
            "uncertainty": heat(entropy),
        }
        for name, picture in pictures.items():
            write_picture(out / f"{image.name}_{name}.png", picture)
    Console(highlight=False).print(_table(tally.rows(), len(source)), _by_street(changes))
    typer.echo(f"Look at the pictures in {out}, first {out / source.names[0]}_before_after.png")


def choose(number: int, total: int, seed: int) -> list[int]:
    """`number` different indices below `total`, or all if there are fewer."""
    return sorted(Random(seed).sample(range(total), min(number, total)))


def _table(rows: Sequence[Row], streets: int) -> Table:
    """Two rows of each method, on all pixels and on those without a click, as one line."""
    from rich.table import Table

    table = Table("pixels that are right", title=f"Mean of {streets} streets", title_justify="left")
    for column in ("all", "not clicked on"):
        table.add_column(column, justify="right")
    for pair in zip(rows[::2], rows[1::2], strict=True):
        table.add_row(str(pair[0]["method"]), *(f"{100 * float(row['pixel_accuracy'] or 0):.2f} %" for row in pair))
    return table


def _by_street(changes: Sequence[Street]) -> Table:
    """Each street, so that the mean hides neither a harmed one nor one that carries it."""
    from rich.table import Table

    table = Table("street", title="What refinement changed, in % of the pixels", title_justify="left")
    for column in ("wrong, now right", "right, now wrong"):
        table.add_column(column, justify="right")
    for street in changes:
        table.add_row(street.name, f"{100 * street.repaired:.2f}", f"{100 * street.broken:.2f}")
    return table
