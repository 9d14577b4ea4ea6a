"""Where results go, so that none overwrites another or something that was there before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from segcode.cli.progress import progress
from segcode.errors import DataError, SegcodeError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray

    from segcode.classes import ClassSet
    from segcode.tensors import Image, LabelImage

Item = TypeVar("Item")
Content = TypeVar("Content")


def map_files(place: Path) -> list[Path]:
    """The files that `Made.write` writes at a path: class indices, class colours over the image, and the entropy."""
    return [place.with_name(place.name + ending) for ending in ("_labels.png", "_overlay.png", "_uncertainty.png")]


def refuse_to_overwrite(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raises DataError if a result would be written over a file that it is made from."""
    read = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in read:
            raise DataError(f"{path} is an input and would be overwritten: give another folder with -o")


class Made(NamedTuple):
    """The map of an image.

    Attributes:
        place: path of the results without their endings.
        image: RGB (H, W, 3).
        labels: class indices (H, W).
        uncertainty: entropy in nats, (H, W).
    """

    place: Path
    image: Image
    labels: LabelImage
    uncertainty: Float[ndarray, "H W"]

    def write(self, classes: ClassSet) -> None:
        """Write the pictures that `map_files` names."""
        from segcode.export.picture import heat, overlay, write_picture

        pictures = (self.labels, overlay(self.image, classes.colourise(self.labels)), heat(self.uncertainty))
        for file, picture in zip(map_files(self.place), pictures, strict=True):
            write_picture(file, picture)


def write_maps(
    items: Sequence[Item],
    read: Callable[[Item], Content],
    make: Callable[[Item, Content], Made],
    classes: ClassSet,
    description: str,
) -> list[str]:
    """Write the maps of many images; meanwhile the next one is read. Returns why some could not be read."""
    from segcode.data.prefetch import prefetch

    problems: list[str] = []

    def read_or_problem(item: Item) -> Content | SegcodeError:
        try:
            return read(item)
        except SegcodeError as problem:
            return problem

    def maps() -> Iterator[Made]:
        contents = progress(prefetch(read_or_problem, items), len(items), description)
        for item, content in zip(items, contents, strict=True):
            if isinstance(content, SegcodeError):
                problems.append(str(content))
            else:
                yield make(item, content)

    deque(prefetch(lambda made: made.write(classes), maps()), maxlen=0)  # runs it and keeps nothing
    return problems
