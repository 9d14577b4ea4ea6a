"""A class list of one's own over the classes of a segmenter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import log_softmax, logsumexp

from segcode.classes import ClassSet
from segcode.data.folder import ClassFile
from segcode.errors import ConfigError
from segcode.prediction import CodePath, InitialPrediction, Segmenter
from segcode.tensors import Image, Pixels

_REST: Final = "*"
_NEW: Final = math.log(1e-3)  # log-probability of a class that the segmenter lacks


def merge(segmenter: Segmenter, groups: Sequence[Sequence[int]]) -> Segmenter:
    """A segmenter whose classes are merged in groups; itself if each of its classes stays what it is."""
    alone = all(tuple(group) == (index,) for index, group in enumerate(groups))
    return segmenter if alone else MergedSegmenter(segmenter, groups)


def merged_groups(wanted: ClassFile, own: ClassSet) -> tuple[tuple[int, ...], ...]:
    """The indices of a segmenter's classes that each class of a list is merged of; empty for a new class.

    Raises:
        ConfigError: if the list names a class that the segmenter lacks, or one of the segmenter's twice or never.
    """
    members = [(table["name"],) if table["of"] is None else table["of"] for table in wanted.tables]
    named = [name for name in chain(*members) if name != _REST]
    rest = tuple(name for name in own.names if name not in named)
    groups = [tuple(chain(*(rest if name == _REST else (name,) for name in one))) for one in members]
    indices = tuple(tuple(own.index(name) for name in one) for one in groups)
    counts = [list(chain(*indices)).count(index) for index in range(len(own))]
    for name, count in zip(own.names, counts, strict=True):
        if count != 1:
            cure = "add it to `of` of a class" if count == 0 else "leave it in one of them"
            raise ConfigError(f"the segmenter's class '{name}' is in {count} classes of the list: {cure}")
    return indices


@dataclass(frozen=True)
class MergedSegmenter:
    """A segmenter whose classes are merged: a class has the probability of all its members.

    Attributes:
        segmenter: that predicts.
        groups: as `merged_groups` returns them.
    """

    segmenter: Segmenter
    groups: Sequence[Sequence[int]]

    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """The prediction of the segmenter, merged; with its code where no classes are: J is of its own classes."""
        prediction = self.segmenter.predict(image, name)
        logits = log_softmax(prediction.base_logits, 0)
        new = np.full_like(logits[0], _NEW)
        merged = [logsumexp(logits[list(group)], 0) if group else new for group in self.groups]
        code = None
        if prediction.code is not None and max(map(len, self.groups)) == 1:
            code = _PlacedCode(prediction.code, [group[0] if group else -1 for group in self.groups])
        return InitialPrediction(np.stack(merged), prediction.features, prediction.edges, code)


@dataclass(frozen=True)
class _PlacedCode:
    """A code path over other places of its classes; -1 is a class that it does not change."""

    path: CodePath
    places: Sequence[int]

    @property
    def code_size(self) -> int:
        """N."""
        return self.path.code_size

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the grid of J."""
        return self.path.size

    def added(self, codes: Float[ndarray, "k N"]) -> Float[ndarray, "k M h w"]:
        """J c of codes (k, N)."""
        return self._placed(self.path.added(codes))

    def jacobian(self, pixels: Pixels) -> Float[ndarray, "n M N"]:
        """J at pixels."""
        return self._placed(self.path.jacobian(pixels))

    def _placed(self, by_class: Float[ndarray, "k _ *rest"]) -> Float[ndarray, "k M *rest"]:
        placed = by_class[:, self.places]
        placed[:, [place < 0 for place in self.places]] = 0
        return placed
