"""`segcode export`: predictions as label files for an official evaluation."""

from __future__ import annotations

from typing import Annotated

import typer

from segcode.cli.loading import load_refiner
from segcode.cli.options import Device, Model, Out, Root, Split
from segcode.cli.outputs import refuse_to_overwrite
from segcode.cli.progress import progress
from segcode.data.sources import Kind
from segcode.errors import ConfigError

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="[IMAGES]...",
        help="Image files, folders or patterns; or else a data set with --data, --root and --split.",
        default_factory=list,
        show_default=False,
    ),
]


def export(
    images: Images,
    model: Model,
    out: Out,
    data: Annotated[Kind | None, typer.Option(help="A data set instead of images.", show_default=False)] = None,
    root: Root = None,
    split: Split = "val",
    device: Device = "auto",
) -> None:
    """Write predictions as label files with the data set's own ids.

    Every image gives OUT/NAME.png, in the size of the image. For Cityscapes NAME is CITY_SEQUENCE_FRAME and the ids are
    label ids, not train ids: what the official tool reads with CITYSCAPES_RESULTS=OUT, and the test server unpacks.
    """
    from segcode.data.files import find_images, output_names
    from segcode.data.images import read_image
    from segcode.data.prefetch import prefetch
    from segcode.data.select import check_classes
    from segcode.data.sources import open_source
    from segcode.export.picture import write_picture

    if bool(images) == (data is not None):
        raise ConfigError("export takes either IMAGES or a data set with --data: give one of the two")
    if data is None:
        paths = find_images(images)
        files = [out / f"{str(name).removesuffix('_leftImg8bit')}.png" for name in output_names(paths)]
        refuse_to_overwrite(paths, files)
        refiner, classes = load_refiner(model, device)
        pictures = prefetch(read_image, paths)
    else:
        source = open_source(data, root, split)
        files = [out / f"{name}.png" for name in source.names]
        refiner, classes = load_refiner(model, device)
        check_classes(source, classes)
        classes = source.classes  # these have the ids of its files
        pictures = (sample.image for sample in prefetch(source.__getitem__, range(len(source))))
    for image, file in progress(zip(pictures, files, strict=True), len(files), "Exporting"):
        write_picture(file, classes.to_raw(refiner.set_image(image).labels))
    typer.echo(f"{len(files)} label files are in {out}")
