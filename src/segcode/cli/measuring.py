"""Options and steps that the commands that measure share: a segmenter, its classes, and labelled images."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import typer

from segcode.cli import options
from segcode.cli.loading import Chosen, print_notes
from segcode.cli.progress import progress

if TYPE_CHECKING:
    from segcode.classes import ClassSet
    from segcode.evaluation.report import Figures
    from segcode.evaluation.results import Results
    from segcode.model.segcode import SegCode
    from segcode.refinement.refiner import Refiner
    from segcode.sample import Source

Clicks: TypeAlias = Annotated[int, typer.Option(min=0, help="Simulated clicks in each image; 0 for none.")]
ClickRadius: TypeAlias = Annotated[
    float, typer.Option("--radius", min=0, help="Radius of the disk that a click labels, in pixels.")
]
Jitter: TypeAlias = Annotated[
    float, typer.Option(min=0, help="Standard deviation of the clicks around their aim, in pixels.")
]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="Seed of the random pixels and of the jitter.")]


class Measured(NamedTuple):
    """A refiner, and the images that it is measured on.

    Attributes:
        model: None for a segmenter that is not a segcode model.
        settings: the options that say what is measured, for the record.
    """

    refiner: Refiner
    classes: ClassSet
    source: Source
    model: SegCode | None
    settings: dict[str, object]

    def progress(self, indices: Iterable[int]) -> Iterable[int]:
        """Go through the images under a bar."""
        return progress(indices, len(self.source), "Measuring")

    def report(self, results: Results, out: Path, tables: str, figures: Figures, **settings: object) -> None:
        """Write the results, their tables and figures into `out`, and print the tables."""
        from segcode.evaluation.report import write_report

        command = shlex.join(["segcode", *sys.argv[1:]])
        write_report(results, out, command, self.settings | settings, tables, figures)
        typer.echo(tables)
        typer.echo(f"{results.images} images; results.json, tables and pictures are in {out}")


@dataclass(frozen=True, kw_only=True)
class Measurement(Chosen):
    """The options that say what is measured."""

    data: options.Data
    root: options.Root = None
    split: options.Split = "val"
    only: options.Only
    leave_out: options.LeaveOut

    def measured(self) -> Measured:
        """Loads the refiner and opens the images that the options name.

        Raises:
            ConfigError: if neither a model nor a segmenter is named, or both, or one does not exist.
            CheckpointError: if the model or the constants are damaged.
            DataError: if there is no such data set.
        """
        from dataclasses import asdict

        from segcode.data.select import select
        from segcode.data.sources import open_source
        from segcode.refinement.refiner import Refiner

        name = self.name(otherwise="")
        source = select(open_source(self.data, self.root, self.split), self.only, self.leave_out)
        print_notes(source)
        opened = self.open(source.classes, otherwise="")
        refiner = Refiner(opened.segmenter, self.load_constants())
        settings = {"data": self.data, "root": self.root, "split": self.split, "model": name}
        return Measured(
            refiner, opened.classes, source, opened.model, settings | {"constants": asdict(refiner.constants)}
        )
