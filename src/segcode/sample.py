"""One record for every source of images, and what a source of such records must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from segcode.classes import ClassSet
from segcode.tensors import DepthImage, Image, LabelImage


@dataclass(frozen=True)
class Sample:
    """One image and what is known of it.

    Attributes:
        name: unique within its source, fit for a file name ("0016E5_07959").
        image: RGB (H, W, 3), 0..255.
        labels: (H, W), 0..M-1, void = IGNORE; None where a split has no public labels.
        depth: (H, W) along the optical axis in metres.
    """

    name: str
    image: Image
    labels: LabelImage | None = None
    depth: DepthImage | None = None


@runtime_checkable  # so that the tests can check it
class Source(Protocol):
    """An ordered collection of samples, read one at a time and safely from several threads."""

    @property
    def classes(self) -> ClassSet: ...

    @property
    def names(self) -> tuple[str, ...]:
        """The samples' names in order, known without reading any image."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Read one sample. Raises DataError naming the file, what is wrong with it, and the cure."""
