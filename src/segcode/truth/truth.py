"""Partial truth: what is known of some pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from segcode.errors import TruthError
from segcode.tensors import AllowedClasses, Pixels


@dataclass(frozen=True)
class Truth:
    """Pixels, the classes that each may be of, and how much each counts.

    One allowed class says "this pixel is road"; all but one say "this pixel is not road". Several entries may speak of
    one pixel. `a + b` combines two truths; where they contradict each other, b, the later one, holds.

    Args:
        size: rows and columns of the image.
        pixels: (n, 2) rows and columns.
        allowed: (n, M), at least one True in each row.
        weight: (n,), at least 0: how sure an entry is, 1 for certain; on a coarser grid, times the area that it covers.

    Raises:
        TruthError: if shapes differ, a pixel lies outside the image, a weight is negative, or no class is allowed.
    """

    size: tuple[int, int]
    pixels: Pixels
    allowed: AllowedClasses
    weight: Float[Tensor, "n"]

    def __post_init__(self) -> None:
        if not len(self.pixels) == len(self.allowed) == len(self.weight):
            lengths = f"{len(self.pixels)} pixels, {len(self.allowed)} sets of classes, {len(self.weight)} weights"
            raise TruthError(f"{lengths}: give one of each for every entry")
        outside = ((self.pixels < 0) | (self.pixels >= torch.tensor(self.size))).any(1)
        if outside.any():
            row, column = self.pixels[outside][0].tolist()
            raise TruthError(
                f"pixel (row {row}, column {column}) is outside the image of {self.size[0]} x {self.size[1]}"
            )
        if not (self.weight >= 0).all():
            raise TruthError(f"an entry of the truth weighs {float(self.weight.min()):g}: give weights of at least 0")
        if not self.allowed.any(1).all():
            raise TruthError("an entry of the truth allows no class at all: drop it")

    def __len__(self) -> int:
        return len(self.pixels)

    @staticmethod
    def empty(size: tuple[int, int], classes: int) -> Truth:
        """Nothing is known of an image of this size."""
        return Truth(
            size, torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, classes, dtype=torch.bool), torch.zeros(0)
        )

    def __add__(self, later: Truth) -> Truth:
        """Both truths, without those entries of this one that sure ones of the later contradict or make superfluous."""
        if self.size != later.size or self.allowed.shape[1] != later.allowed.shape[1]:
            raise TruthError(
                f"truth of {self.size} pixels and {self.allowed.shape[1]} classes does not combine with truth of "
                f"{later.size} pixels and {later.allowed.shape[1]} classes: make both for one image and model"
            )
        left = later.sure()._allowed_at(self._flat())
        adds = (self.allowed & left).any(1) & (left & ~self.allowed).any(1)
        return Truth(
            self.size,
            torch.cat([self.pixels[adds], later.pixels]),
            torch.cat([self.allowed[adds], later.allowed]),
            torch.cat([self.weight[adds], later.weight]),
        )

    def completed(self, whole: Bool[Tensor, "M"]) -> Truth:
        """The truth, and that of these classes it tells all: no pixel that it leaves open is of them.

        Nothing is added for a class that it does not tell of.
        """
        if not whole.any():
            return self
        classes = self.allowed.shape[1]
        known, not_of = self.planes().bool().split(classes)
        silent = ~known.any(0)
        truth = self
        for index in (whole & self.told[0]).nonzero()[:, 0].tolist():
            pixels = (silent & ~not_of[index]).nonzero()
            allowed = (torch.arange(classes) != index).expand(len(pixels), -1)
            truth = truth.beside(Truth(self.size, pixels, allowed, torch.ones(len(pixels))))
        return truth

    def complete(self) -> Bool[Tensor, "M"]:
        """The classes of which it tells all: of every pixel it says for sure that it is of them, or that it is not.

        On a coarser grid a cell at the border may be both.
        """
        if len(self) < math.prod(self.size):
            return torch.zeros(self.allowed.shape[1], dtype=torch.bool)
        sure = self.sure()
        known = sure.allowed & (sure.allowed.sum(1, keepdim=True) == 1)
        told = torch.zeros(math.prod(self.size), self.allowed.shape[1], dtype=torch.uint8)
        speaks = (known | ~sure.allowed).to(torch.uint8)
        told.scatter_reduce_(0, sure._flat()[:, None].expand_as(speaks), speaks, "amax")
        return told.bool().all(0)

    def beside(self, other: Truth) -> Truth:
        """The entries of both: unlike `a + b`, a pixel may be of a class in part and not of it in part."""
        return Truth(
            self.size,
            torch.cat([self.pixels, other.pixels]),
            torch.cat([self.allowed, other.allowed]),
            torch.cat([self.weight, other.weight]),
        )

    def sure(self) -> Truth:
        """The entries that are more likely right than wrong."""
        sure = self.weight > 0.5
        if sure.all():
            return self
        return Truth(self.size, self.pixels[sure], self.allowed[sure], self.weight[sure])

    def _flat(self) -> Integer[Tensor, "n"]:
        return self.pixels[:, 0] * self.size[1] + self.pixels[:, 1]

    def _allowed_at(self, flat: Integer[Tensor, "m"]) -> Bool[Tensor, "m M"]:
        """The classes that all entries of a pixel allow; every class where none speaks of it."""
        places, entry = torch.cat([flat, self._flat()]).unique(return_inverse=True)
        left = torch.ones(len(places), self.allowed.shape[1], dtype=torch.uint8)
        own = entry[len(flat) :, None].expand_as(self.allowed)
        left.scatter_reduce_(0, own, self.allowed.to(torch.uint8), "amin")
        return left[entry[: len(flat)]].bool()

    def resized(self, size: tuple[int, int]) -> Truth:
        """The truth on a grid of another size, equal entries of a cell merged.

        They weigh the area that they cover, but at least as much as the surest of them: a click counts as one known
        pixel whatever the resolution of the photograph.
        """
        if size == self.size:
            return self
        if (finer := self._at_least(size)) is not self:
            return finer.resized(size)
        scale = torch.tensor(size) / torch.tensor(self.size)
        cells = ((self.pixels + 0.5) * scale).long()
        key = (self._sets() * size[0] + cells[:, 0]) * size[1] + cells[:, 1]
        merged, entry = key.unique(return_inverse=True)
        first = torch.empty_like(merged).scatter_(0, entry, torch.arange(len(self)))
        area = torch.zeros(len(merged)).index_add_(0, entry, self.weight * float(scale.prod()))
        surest = torch.zeros(len(merged)).scatter_reduce_(0, entry, self.weight, "amax")
        return Truth(size, cells[first], self.allowed[first], torch.maximum(area, surest))

    def _at_least(self, size: tuple[int, int]) -> Truth:
        """On a grid that is no coarser than another: each pixel as so many as that takes."""
        rows, columns = (-(-new // old) for new, old in zip(size, self.size, strict=True))
        if rows == columns == 1:
            return self
        within = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        return Truth(
            (rows * self.size[0], columns * self.size[1]),
            (self.pixels[:, None] * torch.tensor([rows, columns]) + within).flatten(0, 1),
            self.allowed.repeat_interleave(len(within), 0),
            self.weight.repeat_interleave(len(within)),
        )

    def planes(self) -> Float[Tensor, "planes H W"]:
        """What the label encoder sees: 1 where a pixel is of a class for sure, or is not."""
        places, says = self._says
        planes = torch.zeros(says.shape[1], math.prod(self.size))
        planes[:, places] = says.T.float()
        return planes.view(-1, *self.size)

    def at(self, pixels: Pixels) -> tuple[Bool[Tensor, "n M"], Bool[Tensor, "n M"]]:
        """The class that each of these pixels is of for sure, and those that it is not of."""
        places, says = self._says
        if len(places) == 0:
            nothing = torch.zeros(len(pixels), self.allowed.shape[1], dtype=torch.bool)
            return nothing, nothing
        asked = pixels[:, 0] * self.size[1] + pixels[:, 1]
        entry = torch.searchsorted(places, asked).clamp(max=len(places) - 1)
        known, not_of = (says[entry] & (places[entry] == asked)[:, None]).chunk(2, dim=1)
        return known, not_of

    @cached_property
    def told(self) -> tuple[Bool[Tensor, "M"], Bool[Tensor, "M"]]:
        """The classes that it says for sure of some pixel, and those that it says some pixel is not of."""
        known, not_of = self._says[1].any(0).chunk(2)
        return known, not_of

    @cached_property
    def _says(self) -> tuple[Integer[Tensor, "m"], Bool[Tensor, "m planes"]]:
        """The pixels of sure entries, counted row by row; of each its class, and the classes that it is not of."""
        sure = self.sure()
        places = sure._flat().unique()
        left = sure._allowed_at(places)
        count = left.sum(1, keepdim=True)
        return places, torch.cat([left & (count == 1), ~left & (count > 1)], dim=1)

    def share(self, index: int, size: tuple[int, int]) -> Float[Tensor, "h w"]:
        """The share of each cell of another grid that it says for sure to be of a class."""
        if (finer := self._at_least(size)) is not self:
            return finer.share(index, size)
        sure = self.sure()
        pixels = sure.pixels[sure.allowed[:, index] & (sure.allowed.sum(1) == 1)]
        scale = torch.tensor(size) / torch.tensor(self.size)
        rows, columns = ((pixels + 0.5) * scale).long().unbind(1)
        return torch.bincount(rows * size[1] + columns, minlength=math.prod(size)).view(size) * scale.prod()

    def sets(self) -> list[Integer[Tensor, "m"]]:
        """The entries of each set of classes."""
        number = self._sets()
        return [(number == i).nonzero()[:, 0] for i in range(int(number.max()) + 1)] if len(self) else []

    def _sets(self) -> Integer[Tensor, "n"]:
        """A number for each entry, the same for the same set of classes."""
        mark = torch.randint(2**62, (self.allowed.shape[1],), generator=torch.Generator().manual_seed(0))
        return (self.allowed * mark).sum(1).unique(return_inverse=True)[1]

    def revealed(self) -> Bool[Tensor, "H W"]:
        """Where the class itself is known, by an entry that is more likely right than wrong."""
        sure = self.sure()
        known = sure.pixels[sure.allowed.sum(1) == 1]
        mask = torch.zeros(self.size, dtype=torch.bool)
        mask[known[:, 0], known[:, 1]] = True
        return mask


def paste(logits: Float[Tensor, "M H W"], truth: Truth) -> Integer[Tensor, "H W"]:
    """The most likely classes, with the truth standing as given; of zero code, this is the paper's "replaced".

    A pixel gets the best of the classes that the sure entries of the truth allow it; of all, if they allow none.

    Raises:
        TruthError: if the truth is for a map of another size.
    """
    if truth.size != tuple(logits.shape[1:]):
        raise TruthError(f"truth of {truth.size} pixels does not fit a map of {tuple(logits.shape[1:])}")
    labels = logits.argmax(0)
    sure = truth.sure()
    rows, columns = sure.pixels.to(logits.device).unbind(1)
    allowed = sure._allowed_at(sure._flat())
    scores = logits[:, rows, columns].T.masked_fill(~allowed.to(logits.device), -torch.inf)
    labels[rows, columns] = scores.argmax(1).where(allowed.any(1).to(logits.device), labels[rows, columns])
    return labels
