"""A source's labelled images at one size, as PyTorch's data loaders take them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from jaxtyping import Shaped, UInt8
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from segcode.data.resize import resize_image, resize_labels
from segcode.errors import DataError
from segcode.resampling import resize
from segcode.sample import Sample, Source


class Item(NamedTuple):
    """One labelled image; data loaders batch it into an `Item` of stacked tensors.

    Attributes:
        image: RGB, 0..255, in bytes, since these cross from process to process; or logits in its place.
        labels: class indices 0..M-1, IGNORE where unknown.
    """

    image: Shaped[Tensor, "*B C H W"]
    labels: UInt8[Tensor, "*B H W"]


class LabelledImages(Dataset[Item]):
    """The labelled images of a source, or predictions of them, resized to (height, width).

    Args:
        source: every sample of it must have labels.
        preload: read all of it now and keep it: H * W * 4 bytes a sample, and no reading afterwards.
        predicted: logits (M, h, w) of a sample, which take the place of its image, in half precision.

    Raises:
        DataError: when a sample is read that has no labels, or a damaged file.
    """

    def __init__(
        self,
        source: Source,
        height: int,
        width: int,
        preload: bool = False,
        predicted: Callable[[Sample], Tensor] | None = None,
    ) -> None:
        self.source = source
        self.height = height
        self.width = width
        self.predicted = predicted
        self._kept = self._read_all() if preload else None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Item:
        return self._kept[index] if self._kept else self._read(index)

    def _read(self, index: int) -> Item:
        sample = self.source[index]
        if sample.labels is None:
            raise DataError(f"'{sample.name}' has no labels: choose a split that is labelled")
        labels = torch.from_numpy(resize_labels(sample.labels, self.height, self.width))
        if self.predicted is not None:
            return Item(resize(self.predicted(sample).float()[None], (self.height, self.width))[0].half(), labels)
        image = resize_image(sample.image, self.height, self.width)
        return Item(torch.from_numpy(image).permute(2, 0, 1).contiguous(), labels)

    def _read_all(self) -> list[Item]:
        console = Console(stderr=True)
        with ThreadPoolExecutor() as threads:
            items = threads.map(self._read, range(len(self)))
            return list(
                track(
                    items, "Reading images", len(self), console=console, transient=True, disable=not console.is_terminal
                )
            )
