"""`segcode refine-folder`: many images, each with partial labels, to better maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from segcode.cli.given_truth import partial_truth, read_extents, read_partial_labels
from segcode.cli.loading import Loaded, load_refiner
from segcode.cli.options import Device, Extents, Images, Model, Out
from segcode.cli.outputs import MAP_FILES, Made, refuse_to_overwrite, write_map
from segcode.cli.progress import progress
from segcode.errors import DataError, TruthError
from segcode.files import write_text

if TYPE_CHECKING:
    from segcode.refinement.result import SegmentationMap
    from segcode.tensors import Image, LabelImage
    from segcode.truth.truth import Extent

_SHOWN: Final = 5

LabelFolder = Annotated[
    Path,
    typer.Option(
        "--labels",
        metavar="FOLDER",
        help="Holds NAME.png for an image NAME: class indices, 255 where unknown.",
        show_default=False,
    ),
]


class Given(NamedTuple):
    """An image and its partial labels."""

    image: Image
    labels: LabelImage | None


class Row(NamedTuple):
    """One line of the table that orders the images.

    Attributes:
        image: name below the folder that all images share.
        labelled: pixels of known class.
        expected_change: the share of the map that the best next label is expected to change, 0..1.
    """

    image: str
    labelled: int
    expected_change: float


def refine_folder(
    images: Images,
    labels: LabelFolder,
    extent: Extents,
    model: Model,
    out: Out,
    device: Device = "auto",
) -> None:
    """Refine many images, each by the partial labels of its name, and say which to look at first.

    The labels are one-channel images of class indices, 255 where unknown, as another sensor, a map or annotators give
    them; those of FOLDER/a/NAME.png belong to the image a/NAME. An image without labels gets the initial prediction.

    Each image gives NAME_labels.png, in which the labelled pixels stand as given, NAME_overlay.png and
    NAME_uncertainty.png. OUT/look_first.csv lists the images by the share of the map that one more label is expected
    to change, the largest first. A file that cannot be read, or does not fit, does not stop the others; the end of
    the output lists all such files.
    """
    from segcode.data.files import find_images, output_names
    from segcode.data.prefetch import prefetch, write_behind

    paths = find_images(images)
    names = output_names(paths)
    known = [labels / name.with_suffix(".png") for name in names]
    if not any(path.exists() for path in known):
        raise DataError(f"{labels} has no {known[0].name}, nor labels of any other image: name them as the images")
    written = [out / name.with_name(name.name + ending) for name in names for ending in MAP_FILES]
    refuse_to_overwrite([*paths, *known], written)
    loaded = load_refiner(model, device)
    extents = read_extents(extent, loaded.classes)
    problems: list[str] = []
    rows: list[Row] = []

    def read(files: tuple[Path, Path]) -> Given | DataError | TruthError:
        try:
            return _read(*files, len(loaded.classes))
        except (DataError, TruthError) as problem:
            return problem

    def maps() -> Iterator[Made]:
        given = progress(prefetch(read, zip(paths, known, strict=True)), len(paths), "Refining")
        for item, name in zip(given, names, strict=True):
            if isinstance(item, (DataError, TruthError)):
                problems.append(str(item))
                continue
            result = _refined(item, loaded, extents)
            rows.append(Row(str(name), int(result.truth.known_mask.sum()), loaded.refiner.expected_change()))
            yield Made(out / name, item.image, result.labels, result.entropy())

    write_behind(lambda made: write_map(*made, loaded.classes), maps())
    refined = sum(row.labelled > 0 for row in rows)
    typer.echo(f"{refined} of {len(paths)} images are refined, {len(rows) - refined} have no labels, in {out}")
    _write_order(out / "look_first.csv", rows)
    if problems:
        raise DataError("\n".join(problems))


def _read(image: Path, labels: Path, classes: int) -> Given:
    from segcode.data.files import read_image

    picture = read_image(image)
    if not labels.exists():
        return Given(picture, None)
    return Given(picture, read_partial_labels(labels, (picture.shape[0], picture.shape[1]), classes))


def _refined(given: Given, loaded: Loaded, extents: dict[int, Extent]) -> SegmentationMap:
    initial = loaded.refiner.set_image(given.image)
    if given.labels is None:
        return initial
    return loaded.refiner.refine(partial_truth(given.labels, len(loaded.classes), extents))


def _write_order(file: Path, rows: list[Row]) -> None:
    """Write all rows, the largest expected change first, and print the first ones."""
    import csv
    from io import StringIO

    ordered = sorted(rows, key=lambda row: -row.expected_change)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows((row.image, row.labelled, f"{row.expected_change:.6f}") for row in ordered)
    write_text(file, text.getvalue())
    if ordered:
        typer.echo(f"Look at these first (share of the map that one more label may change; all in {file}):")
    for row in ordered[:_SHOWN]:
        typer.echo(f"  {100 * row.expected_change:5.2f} %  {row.image}")
