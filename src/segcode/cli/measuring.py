"""Options and steps that the commands that measure share: a segmenter, its classes, and labelled images."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import typer

from segcode.cli import options
from segcode.cli.loading import choose_device, print_notes, require_model
from segcode.cli.progress import progress
from segcode.errors import ConfigError

if TYPE_CHECKING:
    from segcode.classes import ClassSet
    from segcode.evaluation.report import Figures
    from segcode.evaluation.results import Results
    from segcode.model.segcode import SegCode
    from segcode.prediction import Segmenter
    from segcode.refinement.refiner import Refiner
    from segcode.sample import Source

Model: TypeAlias = Annotated[
    str,
    typer.Option(metavar="MODEL", help="Folder of a trained model, or the name of a shipped one.", show_default=False),
]
SegmenterName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--segmenter",
        metavar="python:MODULE.NAME",
        help="In place of a model: a function from an RGB image (H, W, 3) of bytes to logits (classes, h, w). The "
        "classes are those of the data.",
        show_default=False,
    ),
]
Constants: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Constants of the Gaussian model; the shipped ones if not given.", show_default=False
    ),
]
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
class Measurement:
    """The options that say what is measured."""

    data: options.Data
    root: options.Root = None
    split: options.Split = "val"
    only: options.Only
    leave_out: options.LeaveOut
    model: Model = ""
    segmenter: SegmenterName = ""
    constants: Constants = None
    device: options.Device = "auto"

    def open(self) -> Measured:
        """Loads the refiner and opens the images that the options name.

        Raises:
            ConfigError: if neither a model nor a segmenter is named, or both, or one does not exist.
            CheckpointError: if the model or the constants are damaged.
            DataError: if there is no such data set.
        """
        from dataclasses import asdict

        from segcode.data.select import select
        from segcode.data.sources import open_source
        from segcode.field.constants import load_constants
        from segcode.model.checkpoint import load_model
        from segcode.refinement.refiner import Refiner

        if self.model and self.segmenter:
            raise ConfigError("--model and --segmenter: give one of them")
        source = select(open_source(self.data, self.root, self.split), self.only, self.leave_out)
        print_notes(source)
        chosen = None if self.constants is None else load_constants(self.constants)
        if self.segmenter:
            refiner, classes, network = Refiner(load_segmenter(self.segmenter), chosen), source.classes, None
        else:
            network, classes = load_model(require_model(self.model))
            refiner = Refiner(network, chosen, choose_device(self.device))
        settings = {"data": self.data, "root": self.root, "split": self.split, "model": self.model or self.segmenter}
        return Measured(refiner, classes, source, network, settings | {"constants": asdict(refiner.constants)})


def load_segmenter(name: str) -> Segmenter | Callable[..., object]:
    """The function or object that `--segmenter python:MODULE.NAME` names; modules of the current folder are found.

    Raises:
        ConfigError: if there is no such module, or no such name in it.
    """
    kind, _, path = name.partition(":")
    module, _, attribute = path.rpartition(".")
    if kind != "python" or not module:
        raise ConfigError(f"--segmenter is '{name}': write python:MODULE.NAME, as in python:my_module.logits")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Segmenter | Callable[..., object] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--segmenter {name}: there is no module '{error.name}': install it, or change to its folder"
        ) from None
    except AttributeError:
        raise ConfigError(f"--segmenter {name}: the module '{module}' has no '{attribute}'") from None
    return found
