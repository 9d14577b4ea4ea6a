"""Some of a source's samples, by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from segcode.classes import ClassSet
from segcode.errors import ConfigError, DataError, nearest
from segcode.sample import Sample, Source


class Subset:
    """The named samples of a source, in the order given; itself a `Source`.

    Raises:
        ConfigError: if a name is not in the source, or there are no names.
    """

    def __init__(self, source: Source, names: Sequence[str]) -> None:
        places = {name: place for place, name in enumerate(source.names)}
        if unknown := [name for name in names if name not in places]:
            raise ConfigError(f"no sample is called '{unknown[0]}': {nearest(unknown[0], places)}")
        if not names:
            raise ConfigError("no samples are left: choose more names, or leave out fewer")
        self.source = source
        self.places = [places[name] for name in names]
        self.classes = source.classes
        self.names = tuple(names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return self.source[self.places[index]]


def select(source: Source, only: Collection[str] = (), leave_out: Collection[str] = ()) -> Source:
    """The samples that `only` names (all if it is empty) without those that `leave_out` names, in the source's order.

    Both are complete names, or beginnings of names such as a sequence's "0001TP_".

    Raises:
        ConfigError: if a name or beginning fits no sample, or no sample is left.
    """
    if not only and not leave_out:
        return source
    kept = named(source.names, only) if only else set(source.names)
    kept -= named(source.names, leave_out)
    return Subset(source, [name for name in source.names if name in kept])


def check_classes(source: Source, classes: ClassSet) -> None:
    """Raises DataError if a source has other classes than a model."""
    if source.classes.names != classes.names:
        raise DataError(
            f"the data has the classes {', '.join(source.classes.names)}, the model {', '.join(classes.names)}: choose "
            "a model that was trained on these classes"
        )


def named(names: Collection[str], patterns: Collection[str]) -> set[str]:
    """The names that are a pattern or, where none is, begin with it.

    Raises:
        ConfigError: if a pattern fits no name.
    """
    return {name for pattern in patterns for name in _matches(names, pattern)}


def _matches(names: Collection[str], pattern: str) -> list[str]:
    if pattern in names:  # else "street_1" would also choose "street_10"
        return [pattern]
    if matching := [name for name in names if name.startswith(pattern)]:
        return matching
    beginnings = sorted({name[: len(pattern)] for name in names})
    raise ConfigError(f"no sample is called '{pattern}', or begins so: {nearest(pattern, beginnings)}")
