"""`segcode annotate`: the page in the browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from segcode.cli import options
from segcode.cli.loading import Chosen
from segcode.errors import ConfigError


def annotate(
    images: Annotated[
        list[str],
        options.optional_images(
            "Image files, folders, or patterns such as 'run/**/*.png'; more may be dropped on the page."
        ),
    ],
    chosen: Chosen,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="WORK",
            help="Folder of the work; if not given, `annotations` beside the images.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to bind to; any but this machine's own asks for a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind to; 0 takes a free one.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SEGCODE_TOKEN",
            help="Secret that a browser elsewhere must send; random if not given.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[int, typer.Option(min=1, metavar="MIB", help="Memory of all open images together.")] = 2048,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Label maps DIR/NAME.png that label the images which nobody worked on; --segmenter labels:DIR takes "
            "them for the initial prediction instead.",
            show_default=False,
        ),
    ] = None,
    class_list: options.ClassList = None,
    honeypots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Data set of the kind `folder` whose images are mixed in; `segcode review` compares the maps that "
            "people make of them with its labels. Name them as the others.",
            show_default=False,
        ),
    ] = None,
    label_studio: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Serve a Label Studio, too: docs/label-studio.md.", show_default=False),
    ] = None,
    label_studio_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", envvar="LABEL_STUDIO_API_KEY", help="Its access token.", show_default=False),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Correct maps in the browser: label a few pixels, and the map follows while you draw.

    Each mark is written to WORK/journals as soon as it is drawn, so a closed tab or a killed server loses nothing:
    start again, and go on. An image that is called done has its map in WORK/labels, and its labelled pixels in
    WORK/truth, which `segcode refine-folder --labels WORK/truth` reads.

    Without images the page is empty, and waits for some to be dropped on it.
    """
    from secrets import token_urlsafe

    from segcode.data.files import find_images, shared_folder
    from segcode.data.folder import CLASS_FILE
    from segcode.files import alone
    from segcode.server.app import create_app
    from segcode.server.class_list import ClassList
    from segcode.server.guard import Access
    from segcode.server.label_studio_client import LabelStudio
    from segcode.server.library import Library, Limits
    from segcode.server.run import listening, serve
    from segcode.server.studio import Studio
    from segcode.server.work import find_work, import_truth, open_honeypots, refuse_foreign, tidy, without_outputs

    local = host in ("127.0.0.1", "localhost", "::1")
    paths = find_images(images) if images else []
    folder = out or (shared_folder(paths) if paths else Path()) / "annotations"
    paths = without_outputs(paths, folder)
    if token == "":
        raise ConfigError("--token is empty: leave it out, or give one that cannot be guessed")
    if not local:
        token = token or token_urlsafe(24)
    access = Access(hosts=None, token=token) if token else Access()
    asked = LabelStudio(label_studio, label_studio_key, Limits()) if label_studio else None
    with listening(host, port) as listener:  # before anything is read, or written
        opened, constants = chosen.open(), chosen.load_constants()
        own = ClassList(opened.segmenter, opened.classes, class_list or folder / CLASS_FILE)
        now = own.listed
        hidden = () if honeypots is None else [pair.image for pair in open_honeypots(honeypots, now.classes).pairs]
        refuse_foreign(folder)
        with alone(folder, "segcode annotate"):
            (folder / "journals").mkdir(exist_ok=True)  # marks the folder as the page's
            library = Library(paths, folder / "uploads", Limits(), hidden)
            for old, new in find_work(folder, library.all()).items():
                typer.echo(f"the work on {old} is that of {new} now: the images are the same")
            model = chosen.identity()
            studio = Studio(own.segmenter, now.classes, library, folder, memory * 2**20, constants, now, model)
            tidy(studio)
            problems = [] if labels is None else import_truth(studio, labels)
            app = create_app(studio, chosen.name(), access, asked, opened.purpose, own)
            problems += [problem for image in library.all() if (problem := studio.progress(image.name).problem)]
            typer.echo(f"{len(library.all())} images; the work is kept in {folder}")
            for problem in problems[:3]:
                typer.echo(problem)
            if len(problems) > 3:
                typer.echo(f"and {len(problems) - 3} more that cannot be worked on: the page has the reasons")
            serve(app, listener, host, access.token, browser and not os.environ.get("CI"))
