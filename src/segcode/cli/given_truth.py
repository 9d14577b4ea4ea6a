"""Partial truth as the command line gives it: masks, labels, points and strokes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from segcode.errors import TruthError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from numpy import ndarray

    from segcode.classes import ClassSet
    from segcode.tensors import LabelImage
    from segcode.truth.truth import Truth


class Named(NamedTuple):
    """The two sides of CLASS=VALUE."""

    name: str
    value: str


@dataclass(frozen=True)
class GivenTruth:
    """The options of `segcode.cli.options` that give truth, as typed. False if there are none."""

    masks: Sequence[str]
    complete: Sequence[str]
    soft: bool
    labels: Path | None
    points: Sequence[str]
    strokes: Sequence[str]
    radius: float

    def __bool__(self) -> bool:
        return bool(self.masks or self.complete or self.labels or self.points or self.strokes)

    @property
    def files(self) -> list[Path]:
        """All that is read."""
        return [Path(_named("--truth", text).value) for text in self.masks] + ([self.labels] if self.labels else [])

    def read(self, size: tuple[int, int], classes: ClassSet) -> Truth:
        """All of it for an image of (rows, columns).

        Where two contradict each other strokes and points win over masks, and masks over labels.

        Raises:
            TruthError: if there is none, or something does not parse, lies outside the image or has another size.
            ConfigError: for a class that the model lacks.
            DataError: for a file that cannot be read.
        """
        if not self:
            raise TruthError("no truth is given: add --truth CLASS=MASK.png, --labels, --point or --stroke")
        truth, *later = self._parts(size, classes)
        for part in later:
            truth = truth + part
        return truth

    def _parts(self, size: tuple[int, int], classes: ClassSet) -> Iterator[Truth]:
        from segcode.truth.mask import label_truth, mask_truth
        from segcode.truth.scribble import point_truth, scribble_truth

        number = len(classes)
        masks = [_named("--truth", text) for text in self.masks]
        for name in self.complete:
            if name not in {mask.name for mask in masks}:
                raise TruthError(f"--complete {name}: there is no mask of it: add --truth {name}=MASK.png")
        if self.labels:
            yield label_truth(read_partial_labels(self.labels, size, number), number)
        for name, path in masks:
            index, mask = classes.index(name), _read_mask(Path(path), size, self.soft)
            yield mask_truth(mask, index, number, complete=name in self.complete)
        for name, value in (_named("--stroke", text) for text in self.strokes):
            corners = [_row_column("--stroke", corner, size) for corner in value.split(":")]
            yield scribble_truth(corners, classes.index(name), number, size, self.radius)
        for name, value in (_named("--point", text) for text in self.points):
            yield point_truth([_row_column("--point", value, size)], classes.index(name), number, size)


def _named(option: str, text: str) -> Named:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        example = {"--truth": "road=mask.png", "--point": "road=120,80", "--stroke": "road=120,80:200,90"}[option]
        raise TruthError(f"{option} is '{text}': write the class, = and the value, as in {option} {example}")
    return Named(name, value)


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

    from segcode.data.files import read_image

    if path.suffix.lower() in (".jpg", ".jpeg") and not soft:
        raise TruthError(f"{path} is a JPEG, which blurs the borders of a mask: save it as PNG, or add --soft")
    picture = read_image(path)
    _check_size(path, picture.shape[:2], size)
    if _is_transparent(path):
        raise TruthError(
            f"{path} is transparent in places, and a mask is black there: save it without an alpha channel"
        )
    if soft and 0 < picture.max() <= 1:
        raise TruthError(f"{path} has no value above 1, but --soft takes 255 for certain: leave out --soft")
    if soft:
        probability: ndarray = picture.mean(2) / 255
        return probability
    return np.any(picture > 0, axis=2)


def _is_transparent(path: Path) -> bool:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def read_partial_labels(path: Path, size: tuple[int, int], number: int) -> LabelImage:
    """Class indices below `number` for an image of (rows, columns), IGNORE where unknown.

    Raises:
        DataError: if the file cannot be read, or has other values.
        TruthError: if it has another size.
    """
    from segcode.data.files import read_index_labels
    from segcode.tensors import IGNORE

    labels = read_index_labels(path, {**{index: index for index in range(number)}, IGNORE: IGNORE})
    _check_size(path, labels.shape, size)
    return labels


def _check_size(path: Path, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    if shape != size:
        raise TruthError(
            f"{path} is {shape[1]} x {shape[0]} pixels (width x height), the image {size[1]} x {size[0]}: "
            "draw it on the image itself, or scale it to that size without smoothing"
        )
