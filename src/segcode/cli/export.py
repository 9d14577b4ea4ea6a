"""`segcode export`: predictions as label files for an official evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from segcode.cli.loading import Chosen
from segcode.cli.options import Out, Resume, Root, Split, optional_images
from segcode.cli.outputs import refuse_to_overwrite
from segcode.cli.progress import progress
from segcode.data.sources import Kind
from segcode.errors import ConfigError, DataError

if TYPE_CHECKING:
    from segcode.tensors import Image

Images = Annotated[
    list[str],
    optional_images("Image files, folders or patterns; or else a data set with --data, --root and --split."),
]


def export(
    images: Images,
    chosen: Chosen,
    out: Out,
    data: Annotated[Kind | None, typer.Option(help="A data set instead of images.", show_default=False)] = None,
    root: Root = None,
    split: Split = "val",
    resume: Resume = False,
) -> None:
    """Write predictions as label files with the data set's own ids.

    Every image gives OUT/NAME.png, in the size of the image. For Cityscapes NAME is CITY_SEQUENCE_FRAME and the ids are
    label ids, not train ids: what the official tool reads with CITYSCAPES_RESULTS=OUT, and the test server unpacks.
    """
    from segcode.data.files import find_images, output_names
    from segcode.data.images import read_image
    from segcode.data.labels import require_classes, write_labels
    from segcode.data.prefetch import pipelined
    from segcode.data.select import check_classes
    from segcode.data.sources import open_source

    if bool(images) == (data is not None):
        raise ConfigError("export takes either IMAGES or a data set with --data: give one of the two")
    source = None if data is None else open_source(data, root, split)
    paths = find_images(images) if source is None else []
    named, clashes = output_names(paths, ending="_leftImg8bit")
    names = list(named) if source is None else source.names
    files = [out / f"{name}.png" for name in names]
    refuse_to_overwrite(paths, files)
    refiner, classes = chosen.refiner(None if source is None else source.classes)
    if source is not None:
        check_classes(source, classes)
        classes = source.classes  # these have the ids of its files

    def read(index: int) -> Image:
        return read_image(named[names[index]]) if source is None else source[index].image

    kept = {file for file in files if resume and file.exists()}
    require_classes(kept, classes)
    todo = [index for index, file in enumerate(files) if file not in kept]
    results = pipelined(
        todo,
        read,
        lambda index, image: refiner.set_image(image, names[index]).labels,
        lambda index, labels: write_labels(files[index], labels, classes, raw=True),
    )
    failures = [str(one) for one in progress(results, len(todo), "Exporting") if isinstance(one, Exception)]
    typer.echo(f"{len(files) - len(failures)} label files are in {out}")
    if problems := [*clashes.values(), *failures]:
        raise DataError("\n".join(problems))
