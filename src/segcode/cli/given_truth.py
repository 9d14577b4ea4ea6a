"""Truth as the command line gives it: points, strokes, polygons, boxes, masks and label images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, get_args

import typer

from segcode.cli.options import Extents, repeated
from segcode.errors import TruthError, nearest

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from numpy import ndarray

    from segcode.classes import ClassSet
    from segcode.truth.truth import Extent, Truth


_EXAMPLES: Final = {
    "--truth": "road=mask.png",
    "--extent": "road=exhaustive",
    "--polygon": "road=120,80:200,90:150,140",
    "--box": "sign=120,80:140,110",
    "--stroke": "road=120,80:200,90",
    "--not": "road=120,80:200,90",
    "--point": "road=120,80",
}


class Named(NamedTuple):
    """The two sides of CLASS=VALUE."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class GivenTruth:
    """The options that give truth, as typed. False if there are none."""

    points: Annotated[
        list[str], repeated("--point", "CLASS=X,Y", "One pixel is of a class; x to the right, y down, from 0.")
    ]
    strokes: Annotated[
        list[str], repeated("--stroke", "CLASS=X,Y:X,Y:...", "The pixels under a brush along a line are of a class.")
    ]
    excluded: Annotated[
        list[str], repeated("--not", "CLASS=X,Y:X,Y:...", "The pixels under a brush along a line are not of a class.")
    ]
    radius: Annotated[float, typer.Option(min=0, help="Radius of the brush, in pixels.")] = 2.0
    polygons: Annotated[
        list[str], repeated("--polygon", "CLASS=X,Y:X,Y:X,Y:...", "The pixels inside a polygon are of a class.")
    ]
    boxes: Annotated[
        list[str],
        repeated("--box", "CLASS=X0,Y0:X1,Y1", "All pixels of a box are of a class; X1,Y1 is beyond its last pixel."),
    ]
    masks: Annotated[
        list[str], repeated("--truth", "CLASS=MASK.png", "The pixels of a mask that are not black are of a class.")
    ]
    soft: Annotated[bool, typer.Option("--soft", help="Masks are probabilities: black 0, white 1.")] = False
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="LABELS.png",
            help="A one-channel image: ids of its classes.toml, or class indices; 255 where unknown.",
            show_default=False,
        ),
    ] = None
    extents: Extents

    def __bool__(self) -> bool:
        return bool(self.masks or self.labels or self.polygons or self.boxes or self._brushes or self.points)

    @property
    def files(self) -> list[Path]:
        """All files that are read."""
        return [Path(_named("--truth", text).value) for text in self.masks] + ([self.labels] if self.labels else [])

    def read(self, size: tuple[int, int], classes: ClassSet) -> Truth:
        """All of it for an image of (rows, columns).

        Where two contradict each other the later one holds, in the order labels, masks, polygons, boxes, strokes,
        strokes that exclude, points.

        Raises:
            TruthError: if there is none, or something does not parse, lies outside the image or has another size.
            ConfigError: for a class that the model lacks.
            DataError: for a file that cannot be read.
        """
        if not self:
            raise TruthError(
                "no truth is given: add --point CLASS=X,Y, --stroke, --polygon, --box, --truth or --labels"
            )
        extents = {classes.index(name): extent for name, extent in read_extents(self.extents).items()}
        if not self.labels:
            self._check_extents(extents, classes)
        return reduce(add, self._parts(size, classes, extents))

    @property
    def _brushes(self) -> list[tuple[str, str]]:
        return [("--stroke", text) for text in self.strokes] + [("--not", text) for text in self.excluded]

    def _check_extents(self, extents: dict[int, Extent], classes: ClassSet) -> None:
        given = [("--truth", self.masks), ("--polygon", self.polygons), ("--box", self.boxes)]
        regions = {classes.index(_named(option, text).name) for option, texts in given for text in texts}
        for index in extents.keys() - regions:
            name = classes.names[index]
            raise TruthError(
                f"--extent {name}={extents[index]}: it has no mask, polygon or box: add --truth {name}=MASK.png"
            )

    def _parts(self, size: tuple[int, int], classes: ClassSet, extents: dict[int, Extent]) -> Iterator[Truth]:
        from segcode.data.folder import read_partial_labels
        from segcode.truth.mask import mask_truth, partial_truth
        from segcode.truth.scribble import box_truth, point_truth, polygon_truth, scribble_truth

        number = len(classes)
        if self.labels:
            labels, notes, _ = read_partial_labels(self.labels, size, classes)
            for note in notes:
                typer.echo(note, err=True)
            yield partial_truth(labels, number, extents)
        for name, path in (_named("--truth", text) for text in self.masks):
            index, mask = classes.index(name), _read_mask(Path(path), size, self.soft)
            yield mask_truth(mask, index, number, extents.get(index, "part"))
        for name, value in (_named("--polygon", text) for text in self.polygons):
            index, corners = classes.index(name), _pixels("--polygon", value, size)
            yield polygon_truth(corners, index, number, size, extents.get(index, "outline"))
        for name, value in (_named("--box", text) for text in self.boxes):
            index, corners = classes.index(name), _pixels("--box", value, (size[0] + 1, size[1] + 1))
            if len(corners) != 2:
                raise TruthError(f"--box: '{value}' has {len(corners)} corners: write X0,Y0:X1,Y1 as in 120,80:140,110")
            yield box_truth((corners[0], corners[1]), index, number, size, extents.get(index, "outline"))
        for option, text in self._brushes:
            name, value = _named(option, text)
            corners = _pixels(option, value, size)
            yield scribble_truth(corners, classes.index(name), number, size, self.radius, excluded=option == "--not")
        for name, value in (_named("--point", text) for text in self.points):
            yield point_truth(_pixels("--point", value, size), classes.index(name), number, size)


def read_extents(texts: Sequence[str]) -> dict[str, Extent]:
    """The extents that `--extent` gives, by the names of their classes. Raises TruthError for any other word."""
    from segcode.truth.truth import Extent

    words: dict[str, Extent] = {word: word for word in get_args(Extent)}
    extents: dict[str, Extent] = {}
    for name, value in (_named("--extent", text) for text in texts):
        if value not in words:
            raise TruthError(f"--extent {name}={value}: {value} is no extent: {nearest(value, words)}")
        extents[name] = words[value]
    return extents


def _named(option: str, text: str) -> Named:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise TruthError(f"{option} is '{text}': write the class, = and the value, as in {option} {_EXAMPLES[option]}")
    return Named(name, value)


def _pixels(option: str, text: str, size: tuple[int, int]) -> list[tuple[float, float]]:
    """Rows and columns of X,Y:X,Y:... inside (rows, columns)."""
    return [_row_column(option, pixel, size) for pixel in text.split(":")]


def _row_column(option: str, text: str, size: tuple[int, int]) -> tuple[float, float]:
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError:
        raise TruthError(f"{option}: '{text}' is no pixel: write X,Y as in 120,80") from None
    if not (0 <= x < size[1] and 0 <= y < size[0]):
        raise TruthError(
            f"{option}: x {x:g}, y {y:g} is outside the image: x goes from 0 to {size[1] - 1}, "
            f"y from 0 to {size[0] - 1}"
        )
    return y, x


def _read_mask(path: Path, size: tuple[int, int], soft: bool) -> Bool[ndarray, "H W"] | Float[ndarray, "H W"]:
    """True where the picture is not black, or if `soft` its brightness in 0..1."""
    import numpy as np

    from segcode.data.images import image_info, is_result, open_image, read_image
    from segcode.data.labels import require_size

    if is_result(path):
        raise TruthError(f"{path} is a picture that segcode made, and no mask: give label images by --labels")
    if image_info(path).format == "JPEG" and not soft:
        raise TruthError(f"{path} is a JPEG, which blurs the borders of a mask: save it as PNG, or add --soft")
    picture = read_image(path)
    require_size(path, picture.shape[:2], size)
    with open_image(path) as opened:
        opaque = opened.convert("RGBA").getchannel("A").getextrema() == (255, 255)
    if not opaque:
        raise TruthError(
            f"{path} is transparent in places, and a mask is black there: save it without an alpha channel"
        )
    if soft and 0 < picture.max() <= 1:
        raise TruthError(f"{path} has no value above 1, but --soft takes 255 for certain: leave out --soft")
    if soft:
        return picture.mean(2) / 255
    return np.any(picture > 0, axis=2)
