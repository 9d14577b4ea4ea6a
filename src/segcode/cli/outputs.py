"""Where results go, so that none overwrites another or something that was there before."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from segcode.cli.progress import progress
from segcode.errors import DataError, SegcodeError

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray

    from segcode.classes import ClassSet
    from segcode.tensors import Image, LabelImage

Item = TypeVar("Item")
Content = TypeVar("Content")
Result = TypeVar("Result")


def map_files(place: Path) -> list[Path]:
    """The files that `Made.write` writes at a path: class indices, class colours over the image, and the entropy."""
    return [place.with_name(place.name + ending) for ending in ("_labels.png", "_overlay.png", "_uncertainty.png")]


def are_written(place: Path) -> bool:
    """Whether all files are there that `map_files` names."""
    return all(file.exists() for file in map_files(place))


def refuse_to_overwrite(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raises DataError if a result would be written over a file that it is made from."""
    read = set(map(os.path.realpath, inputs))  # pathlib's raises an error for a link that leads to itself
    for path in outputs:
        if os.path.realpath(path) in read:
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
        from segcode.data.labels import write_labels
        from segcode.export.picture import heat, overlay, write_picture

        labels, colours, uncertainty = map_files(self.place)
        write_labels(labels, self.labels, classes)
        write_picture(colours, overlay(self.image, classes.colourise(self.labels)))
        write_picture(uncertainty, heat(self.uncertainty))


def write_each(
    items: Sequence[Item],
    read: Callable[[Item], Content],
    make: Callable[[Item, Content], Result],
    write: Callable[[Item, Result], None],
    description: str,
) -> list[str]:
    """Read, make and write one item after the other; meanwhile the next one is read and the last one written.

    Returns why some could not be read, made or written; these do not stop the others.
    """
    from segcode.data.prefetch import prefetch

    problems: list[str] = []

    def attempt(step: Callable[[], Any]) -> Any:
        """The result of a step; None if it has a problem, which is kept."""
        try:
            return step()
        except SegcodeError as problem:
            problems.append(str(problem))
            return None

    def made() -> Iterator[tuple[Item, Result]]:
        contents = progress(prefetch(lambda item: attempt(lambda: read(item)), items), len(items), description)
        for item, content in zip(items, contents, strict=True):
            result = None if content is None else attempt(partial(make, item, content))
            if result is not None:
                yield item, result

    deque(prefetch(lambda pair: attempt(lambda: write(*pair)), made()), maxlen=0)  # runs it and keeps nothing
    return problems
