"""`segcode export`: predictions as label files for an official evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcode.cli.loading import load_refiner
from segcode.cli.options import Device, Model, Out, Root
from segcode.cli.outputs import refuse_to_overwrite
from segcode.cli.progress import progress
from segcode.data.sources import Kind
from segcode.errors import ConfigError

if TYPE_CHECKING:
    from segcode.classes import ClassSet
    from segcode.sample import Source

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
    split: Annotated[str, typer.Option(metavar="SPLIT", help="Which part of the data set.")] = "val",
    device: Device = "auto",
) -> None:
    """Write predictions as label files with the data set's own ids.

    Every image gives OUT/NAME.png, in the size of the image. For Cityscapes NAME is CITY_SEQUENCE_FRAME and the ids are
    label ids, not train ids: what the official tool reads with CITYSCAPES_RESULTS=OUT, and the test server unpacks.
    """
    if bool(images) == (data is not None):
        raise ConfigError("export takes either IMAGES or a data set with --data: give one of the two")
    if data is not None:
        _export_split(data, root, split, out, model, device)
    else:
        _export_images(images, out, model, device)


def _export_split(data: Kind, root: Path | None, split: str, out: Path, model: str, device: Device) -> None:
    from segcode.data.prefetch import prefetch
    from segcode.data.sources import open_source
    from segcode.export.picture import write_picture

    source = open_source(data, root, split, 240, 320)
    refiner, classes = load_refiner(model, device)
    _require_same_classes(source, classes)
    samples = prefetch(source.__getitem__, range(len(source)))
    for sample in progress(samples, len(source), "Exporting"):
        write_picture(out / f"{sample.name}.png", source.classes.to_raw(refiner.set_image(sample.image).labels))
    typer.echo(f"{len(source)} label files are in {out}")


def _export_images(images: list[str], out: Path, model: str, device: Device) -> None:
    from segcode.data.files import find_images, output_names, read_image
    from segcode.data.prefetch import prefetch
    from segcode.export.picture import write_picture

    paths = find_images(images)
    files = [out / f"{str(name).removesuffix('_leftImg8bit')}.png" for name in output_names(paths)]
    refuse_to_overwrite(paths, files)
    refiner, classes = load_refiner(model, device)
    for image, file in progress(zip(prefetch(read_image, paths), files, strict=True), len(paths), "Exporting"):
        write_picture(file, classes.to_raw(refiner.set_image(image).labels))
    typer.echo(f"{len(paths)} label files are in {out}")


def _require_same_classes(source: Source, classes: ClassSet) -> None:
    if source.classes.names != classes.names:
        raise ConfigError(
            f"the data set has the classes {', '.join(source.classes.names)}, the model {', '.join(classes.names)}: "
            "choose a model that was trained on this data set with --model"
        )
