"""A labelled source whose images mean nothing, for measuring what an untrained model makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segcode.classes import ClassSet
from segcode.sample import Sample
from segcode.tensors import IGNORE

CLASSES = ClassSet(("road", "sky", "car", "tree"), ((9, 9, 9), (0, 0, 255), (255, 0, 0), (0, 255, 0)))


@dataclass(frozen=True)
class Noise:
    """Three noise images whose labels have void, and no tree in the first of them."""

    classes: ClassSet = CLASSES
    names: tuple[str, ...] = ("a", "b", "c")
    labelled: bool = True

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        draw = np.random.default_rng(index)
        labels = draw.integers(0, 3 if index == 0 else 4, (5, 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        labels[:3] = IGNORE
        image = draw.integers(0, 255, (40, 64, 3), np.uint8)
        return Sample(self.names[index], image, labels if self.labelled else None)
