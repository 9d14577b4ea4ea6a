"""From the images and labels that a command line names to what is to be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from segcode.cli.outputs import refuse_to_overwrite
from segcode.errors import DataError

if TYPE_CHECKING:
    from segcode.batch import Request


class Requests(NamedTuple):
    """Images to be labelled, and why others are left out.

    Attributes:
        images: how many were found.
        valid: those whose names are clear.
        problems: a line for each of the others.
    """

    images: int
    valid: list[Request]
    problems: list[str]


def find_requests(images: list[str], out: Path, labels: Path | None = None) -> Requests:
    """The images, each with the partial labels of its name in a folder, if there are some.

    Raises:
        DataError: if there are no images, the folder has labels of none of them, or a result would overwrite one.
    """
    from segcode.batch import Request
    from segcode.data.files import find_images, output_names, pictures_below
    from segcode.export.maps import map_files

    found = find_images(images)
    named, clashes = output_names(found)
    problems = list(clashes.values())
    given: dict[str, Path] = {}
    if labels is not None:
        given, doubles = pictures_below(labels)
        problems += [doubles[name] for name in named if name in doubles]
        named = {name: path for name, path in named.items() if name not in doubles}
        if not named.keys() & given.keys():
            cause = (
                f"{labels} has no {next(iter(named), '')}.png, nor labels of any other image: name them as the images"
            )
            raise DataError("\n".join(problems) or cause)
        if spare := [path for name, path in given.items() if name not in {*named, *clashes}]:
            typer.echo(f"{len(spare)} label files belong to none of the images, first {spare[0]}", err=True)
    own = [given[name] for name in named if name in given]
    refuse_to_overwrite([*found, *own], [file for name in named for file in map_files(out / name)])
    valid = [Request(str(path), name, str(given.get(name, ""))) for name, path in named.items()]
    return Requests(len(found), valid, problems)
