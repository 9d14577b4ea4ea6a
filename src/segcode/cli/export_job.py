"""`segcode export-job`: the work of `segcode annotate`, as its page exports it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcode.cli import options
from segcode.cli.loading import Chosen
from segcode.cli.progress import progress
from segcode.errors import ConfigError, DataError
from segcode.export.choices import Layout, Which
from segcode.files import alone, replacing, replacing_folder

if TYPE_CHECKING:
    from segcode.export.job import File

Work = Annotated[
    Path, typer.Argument(metavar="WORK", help="Folder of the work of `segcode annotate`.", show_default=False)
]
Images = Annotated[
    list[str],
    options.optional_images(
        "The images, as they were given to `segcode annotate`; or else those in the folder that WORK is in."
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="OUT", help="A new folder, or a file NAME.zip.", show_default=False)
]


def export_job(
    work: Work,
    images: Images,
    chosen: Chosen,
    out: Out,
    layout: Annotated[
        Layout,
        typer.Option(
            help="Label maps and labels as class indices or ids of the data set; Pascal VOC, as CVAT's `Segmentation "
            "mask 1.1`; or COCO run lengths."
        ),
    ] = "indices",
    only: Annotated[Which, typer.Option(help="Which images.")] = "all",
    class_list: options.ClassList = None,
) -> None:
    """Write the maps of all images of a job, as the page exports them.

    Images that are done have the maps that were accepted; the maps of others are computed by the model. OUT always has
    classes.toml and id2label.json, which say what the ids mean. An image that cannot be exported does not stop the
    others; the end of the output lists all such images, and so does OUT/left_out.txt.
    """
    from segcode.data.files import find_images, images_in
    from segcode.data.folder import CLASS_FILE
    from segcode.server import job
    from segcode.server.class_list import ClassList
    from segcode.server.journal import require_work
    from segcode.server.library import Library, Limits
    from segcode.server.studio import Studio
    from segcode.server.work import find_work, without_outputs

    require_work(work)
    zips = out.suffix.lower() == ".zip"
    if not zips and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already: give a new folder, or a file NAME.zip")
    paths = find_images(images) if images else images_in(work.absolute().parent)
    opened = chosen.open()
    own = ClassList(opened.segmenter, opened.classes, class_list or work / CLASS_FILE)
    with alone(work, "segcode annotate", "end that one, or export on its page"):
        library = Library(without_outputs(paths, work), work / "uploads", Limits())
        find_work(work, library.all())
        studio = Studio(own.segmenter, own.listed.classes, library, work, 0, chosen.load_constants(), own.listed)
        photographs, left_out = job.chosen(studio, only), list[str]()
        seen = progress(photographs, len(photographs), "Exporting")
        files = job.export_files(studio, seen, layout, left_out)
        try:
            asyncio.run(_write_zip(job.zipped(files), out) if zips else _write_folder(files, out))
        finally:
            studio.close()
    typer.echo(f"{len(photographs) - len(left_out)} of {len(photographs)} images are exported, to {out}")
    if left_out:
        raise DataError("\n".join(left_out))


async def _write_zip(parts: AsyncIterator[bytes], out: Path) -> None:
    with replacing(out) as unfinished, unfinished.open("wb") as file:
        async for part in parts:
            file.write(part)


async def _write_folder(files: AsyncIterator[File], out: Path) -> None:
    with replacing_folder(out) as unfinished:
        async for file in files:
            path = unfinished / file.path
            if file.path.endswith("/"):
                path.mkdir(parents=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
