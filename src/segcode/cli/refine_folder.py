"""`segcode refine-folder`: many images, each with partial labels, to better maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from segcode.cli.given_truth import read_extents
from segcode.cli.loading import Chosen
from segcode.cli.manifest import Manifest
from segcode.cli.options import Extents, Images, Out, Resume
from segcode.cli.progress import progress
from segcode.cli.requests import Requests, find_requests
from segcode.errors import DataError
from segcode.files import alone

if TYPE_CHECKING:
    from segcode.batch import Outcome, Request
    from segcode.classes import ClassSet

_SHOWN: Final = 5

LabelFolder = Annotated[
    Path,
    typer.Option(
        "--labels",
        metavar="FOLDER",
        help="Holds NAME.png for an image NAME: the ids of its classes.toml, or class indices; 255 where unknown.",
        show_default=False,
    ),
]


def refine_folder(
    images: Images,
    labels: LabelFolder,
    extent: Extents,
    chosen: Chosen,
    out: Out,
    resume: Resume = False,
) -> None:
    """Refine many images, each by the partial labels of its name, and say which to look at first.

    The labels are one-channel images, 255 where unknown, of the ids that the nearest classes.toml names, there or up to
    two folders above, or else of class indices, as another sensor, a map or annotators give
    them; those of FOLDER/a/NAME.png belong to the image a/NAME. An image without labels gets the initial prediction.

    Each image gives NAME_labels.png, in which the labelled pixels stand as given, NAME_overlay.png and
    NAME_uncertainty.png. OUT/manifest.csv lists the images by the share of the map that one more label is expected
    to change, the largest first. A file that cannot be read, or does not fit, does not stop the others; the end of
    the output lists all such files.
    """
    from segcode.batch import BatchRefiner

    requests = find_requests(images, out, labels)
    refiner = BatchRefiner(chosen.open, out, constants=chosen.load_constants(), extents=read_extents(extent))
    complete(requests, refiner.refine, refiner.opened.classes, out, resume, "segcode refine-folder")


def complete(
    requests: Requests,
    refine: Callable[[list[Request]], Iterable[Outcome]],
    classes: ClassSet,
    out: Path,
    resume: bool,
    command: str,
) -> None:
    """Refine what the manifest of a folder does not have, or has by older labels, and print a summary.

    Raises:
        DataError: that lists the images without a map, or if another process works in the folder, or if the maps in it
            have other classes.
    """
    from segcode.data.labels import require_classes
    from segcode.export.maps import map_files

    with alone(out, command):
        manifest = Manifest(out, resume)
        kept = {r.name: map_files(out / r.name)[0] for r in requests.valid if manifest.has_map(r.name)}
        require_classes(kept.values(), classes)
        todo = [r for r in requests.valid if r.name not in kept or _is_newer(r.labels, kept[r.name])]
        for outcome in progress(refine(todo), len(todo), "Refining"):
            manifest.add(outcome)
            if outcome.notes:
                typer.echo(outcome.notes, err=True)
        ordered = manifest.order()
    own = [manifest.rows[request.name] for request in requests.valid]
    problems = [*requests.problems, *(row.problem for row in own if row.problem)]
    refined = sum(row.labelled > 0 for row in own)
    there = f", {len(own) - len(todo)} were there" if resume else ""
    done = sum(not row.problem for row in own)
    typer.echo(f"{done} of {requests.images} images have maps, {refined} are refined by labels{there}, in {out}")
    typer.echo(f"Look at these first (share of the map that one more label may change; all in {manifest.path}):")
    for row in ordered[:_SHOWN]:
        typer.echo(f"  {100 * row.expected_change:5.2f} %  {row.image}")
    if problems:
        raise DataError("\n".join(problems))


def _is_newer(labels: str, path: Path) -> bool:
    """Whether the labels of an image, if it has some, were changed since a file was made."""
    return labels != "" and Path(labels).stat().st_mtime_ns > path.stat().st_mtime_ns
