"""`segcode data check` and `segcode data draw`: check a data set, and draw one that needs no download."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcode.cli.options import Out, Root
from segcode.cli.progress import progress
from segcode.data.sources import Kind
from segcode.errors import ConfigError, DataError
from segcode.files import write_text

if TYPE_CHECKING:
    from rich.table import Table

    from segcode.classes import ClassSet
    from segcode.data.check import Report
    from segcode.sample import Sample

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: segcode data check --data camvid --root CamVid")
def check(
    data: Annotated[Kind, typer.Option(help="What the data set is.", show_default=False)],
    root: Root = None,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT", help="May be repeated; all usual ones if not given.", show_default=False),
    ] = None,
) -> None:
    """Read a data set and list every problem in it.

    Damaged and missing files, labels of another size than their image and unknown ids are listed all at once. What is
    unusual but can be read is noted. The table shows how often each class occurs. The exit code is 1 if anything is
    wrong.
    """
    from rich.console import Console
    from rich.markup import escape

    from segcode.data.check import check as read_all
    from segcode.data.pairs import UnpairedError
    from segcode.data.sources import open_source

    console = Console(highlight=False, soft_wrap=True)
    problems: list[str] = []
    for part in split or _splits(data, root):
        try:
            source = open_source(data, root, part, 240, 320)
        except UnpairedError as error:
            problems += [f"{part}: {problem}" for problem in error.problems]
            source = error.rest
        except DataError as error:
            problems.append(f"{part}: {error}")
            continue
        report = read_all(source, partial(progress, total=len(source), description=f"Reading {escape(part)}"))
        console.print(_table(part, len(source), report))
        for found in report.noted:
            for note in found.notes:
                console.print(f"{part}, {found.name}: {note}", style="yellow", markup=False)
        problems += [f"{part}, {found.name}: {found.problem}" for found in report.problems]
    for problem in problems:
        console.print(problem, style="red", markup=False)
    console.print(f"{len(problems)} problems" if problems else "No problems.")
    raise typer.Exit(1 if problems else 0)


@app.command(epilog="Example: segcode data draw -o streets -n 8")
def draw(
    out: Out,
    number: Annotated[int, typer.Option("-n", min=1, help="How many images.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other streets.")] = 0,
    height: Annotated[int, typer.Option(min=16, help="In pixels.")] = 240,
    width: Annotated[int, typer.Option(min=16, help="In pixels.")] = 320,
    split: Annotated[
        str, typer.Option(metavar="SPLIT", help="Folder for a part of the data set, such as train.", show_default=False)
    ] = "",
) -> None:
    """Draw synthetic streets with exact labels and depth.

    OUT becomes a data set that `--data folder --root OUT` reads: images/, labels/ with class indices, and classes.toml.
    depth/ has centimetres in 16 bits; 65535 is that far or farther.
    """
    from segcode.streets import Streets

    streets = Streets(number, seed, height, width)
    for index in progress(range(number), number, "Drawing"):
        _write_sample(out, split, streets[index], streets.classes)
    _write_class_file(out / "classes.toml", streets.classes)
    typer.echo(f"{number} streets are in {out}")


def _splits(data: Kind, root: Path | None) -> list[str]:
    """The usual splits that the data set has; raises what the last one raised if it has none."""
    from segcode.data.sources import open_source

    there, problem = [], ConfigError("")
    for split in ("train", "val", "test", "all"):
        try:
            with suppress(DataError):  # the split is there, and wrong: the check says so
                open_source(data, root, split)
            there.append(split)
        except ConfigError as error:
            problem = error
    if not there:
        raise problem
    return there


def _table(split: str, images: int, report: Report) -> Table:
    from rich.markup import escape
    from rich.table import Table

    sizes = ", ".join(f"{count} of {size.width} x {size.height}" for size, count in report.sizes.items())
    unlabelled = f"; {len(report.unlabelled)} without labels" if report.unlabelled else ""
    title = f"{split}: {images} images ({sizes or 'none readable'}){unlabelled}"
    table = Table("class", title=escape(title), title_justify="left")
    table.add_column("pixels", justify="right")
    table.add_column("images", justify="right")
    for name, share, number in zip(report.classes.names, report.shares, report.images, strict=True):
        table.add_row(escape(name), f"{100 * share:.2f} %", str(number))
    table.add_row("void", f"{100 * report.void_share:.2f} %", "", style="dim")
    return table


def _write_sample(out: Path, split: str, sample: Sample, classes: ClassSet) -> None:
    import numpy as np

    from segcode.data.labels import write_labels
    from segcode.export.picture import write_picture

    assert sample.labels is not None
    assert sample.depth is not None
    centimetres = np.clip(np.round(100 * sample.depth), 0, 65535).astype(np.uint16)
    place = Path(split) / f"{sample.name}.png"
    write_picture(out / "images" / place, sample.image, result=False)
    write_labels(out / "labels" / place, sample.labels, classes)
    write_picture(out / "depth" / place, centimetres)


def _write_class_file(path: Path, classes: ClassSet) -> None:
    tables = (
        f'[[class]]\nname = "{name}"\ncolour = {list(colour)}\n'
        for name, colour in zip(classes.names, classes.colours, strict=True)
    )
    write_text(path, "\n".join(tables))
