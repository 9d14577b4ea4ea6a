"""`segcode review`: who did what in a folder of work, and how far two maps of each image agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcode.cli.progress import progress
from segcode.errors import DataError, SegcodeError
from segcode.files import comma_separated, write_text

if TYPE_CHECKING:
    from rich.table import Table

    from segcode.server.review import Row


def review(
    work: Annotated[
        Path, typer.Argument(metavar="WORK", help="Folder of work of `segcode annotate`.", show_default=False)
    ],
    other: Annotated[
        Path | None,
        typer.Option(
            metavar="WORK2", help="Another person's work on the same images, to compare with.", show_default=False
        ),
    ] = None,
    honeypots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The honeypots that WORK was made with.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="OUT", help="Folder for tables and maps; none if not given.", show_default=False
        ),
    ] = None,
) -> None:
    """Report who did what in a folder of work, and how far two maps of each image agree.

    With --other the maps are those of two people who worked on their own: of all images that are done in both folders,
    known by their content. Without it they are an annotator's, as first called done, and the one that a second person
    accepted. The table has the IoU of each class, and Cohen's kappa; void counts as a class.

    Annotators are known by the names that they gave on the page. Minutes are the time between the things that they did;
    more than five minutes between two of them are a pause, and do not count. On honeypots, images of known truth, their
    first maps are measured; `gained` is how much more accurate these are than the initial predictions.

    OUT gets the tables as CSV and all of them as review.json; for each image maps/NAME.png, in which differences are
    orange, and consensus/NAME.png, class indices that are 255 where the maps differ. A file that cannot be read does
    not stop the others; the end of the output lists all such files.
    """
    import json
    from dataclasses import asdict

    from rich.console import Console

    from segcode.data.labels import write_labels
    from segcode.export.comparison import agreed
    from segcode.export.picture import write_picture
    from segcode.server import review as reviewing
    from segcode.server.work import open_honeypots

    problems: list[str] = []
    works = reviewing.read_work(work, problems)
    others = None if other is None else reviewing.read_work(other, problems)
    if not works:
        raise DataError("\n".join(problems) or f"{work} has no work on any image yet: annotate some first")
    classes = reviewing.classes_of_work(works)
    known = None if honeypots is None else open_honeypots(honeypots, classes)
    pairs = reviewing.of_review(works) if others is None else reviewing.of_two_people(works, others)
    matrix, images = reviewing.no_pixels(classes), []
    for pair in progress(pairs, len(pairs), "Comparing"):
        try:
            one, two = pair.maps(classes)
        except SegcodeError as error:
            problems.append(str(error))
            continue
        own = reviewing.counted(one, two, classes)
        matrix += own
        images.append({"image": pair.name, **reviewing.agreement(own)})
        if out is not None:
            write_picture(out / "maps" / f"{pair.name}.png", agreed(pair.image(), one, two, classes))
            write_labels(out / "consensus" / f"{pair.name}.png", reviewing.consensus(one, two), classes)
    overall = reviewing.agreement(matrix)
    tables: dict[str, list[Row]] = {
        "annotators": [asdict(person) for person in reviewing.annotators(works).values()],
        "honeypots": [] if known is None else reviewing.on_honeypots(works, known, problems),
        "agreement": reviewing.by_class(matrix, classes),
        "images": images,
    }
    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(f"{len(works)} images", tables["annotators"]))
    if known is not None:
        console.print(_table("First maps of honeypots", tables["honeypots"]))
    if images:
        whose = "first done and accepted" if others is None else "of two people"
        scores = ", ".join(f"{name.replace('_', ' ')} {_text(name, value)}" for name, value in overall.items())
        console.print(_table(f"{len(images)} images, maps {whose}: {scores}", tables["agreement"]))
    else:
        console.print("No image is accepted yet." if others is None else "No image is done in both folders.")
    if out is not None:
        for name, rows in tables.items():
            if rows:
                write_text(out / f"{name}.csv", comma_separated(rows))
        content = {**tables, "overall": overall, "problems": problems}
        write_text(out / "review.json", json.dumps(content, indent=2) + "\n")
        console.print(f"The tables and {len(images)} maps are in {out}", markup=False)
    if problems:
        raise DataError("\n".join(problems))


def _table(title: str, rows: Sequence[Row]) -> Table:
    """Rows with the same cells, the first column to the left."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for number, name in enumerate(rows[0] if rows else ()):
        table.add_column(name.replace("_", " "), justify="right" if number else "left")
    for row in rows:
        table.add_row(*(escape(_text(name, value)) for name, value in row.items()))
    return table


def _text(name: str, value: object) -> str:
    """Shares in percent, minutes and kappa as they are; a person without a name and a missing value as a dash."""
    if not isinstance(value, float):
        return str(value) if value not in ("", None) else "-"
    return f"{value:.1f}" if name == "minutes" else f"{value:.3f}" if name == "kappa" else f"{100 * value:.2f} %"
