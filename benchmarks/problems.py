"""The problems that are timed: a drawn street, a model of any size, and a stroke where the map is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from segcode.refinement.linearise import Linearised
from segcode.refinement.problem import Entries, Held, entries_of, held_at, pose, prior_of

from segcode.evaluation.annotator import largest_error, middle
from segcode.model.checkpoint import load_model
from segcode.model.segcode import SegCode, build_segcode
from segcode.refinement.objective import Objective
from segcode.refinement.refiner import Refiner
from segcode.streets.streets import Streets
from segcode.tensors import Image
from segcode.truth.mask import mask_truth
from segcode.truth.truth import Truth

STROKE = 500


@dataclass(frozen=True)
class Case:
    """A size of image, network grid, classes and code."""

    name: str
    image: tuple[int, int]
    grid: tuple[int, int]
    classes: int = 11
    code: int = 128


SHIPPED = Case("shipped", (360, 480), (144, 192))
LARGE = Case("1024x2048-19 on 144x192", (1024, 2048), (144, 192), classes=19)
FULL = Case("360x480-11", (360, 480), (360, 480))
CITYSCAPES = Case("1024x2048-19", (1024, 2048), (1024, 2048), classes=19)
CASES = (
    SHIPPED,
    FULL,
    Case("360x480-11-N32", (360, 480), (360, 480), code=32),
    Case("360x480-11-N512", (360, 480), (360, 480), code=512),
    Case("512x1024-19", (512, 1024), (512, 1024), classes=19),
    LARGE,
    CITYSCAPES,
    Case("1024x2048-11", (1024, 2048), (1024, 2048)),
    Case("1024x2048-19-N32", (1024, 2048), (1024, 2048), classes=19, code=32),
    Case("1024x2048-19-N512", (1024, 2048), (1024, 2048), classes=19, code=512),
)


@dataclass(frozen=True)
class Problem:
    """All that a refinement goes through."""

    case: Case
    model: SegCode
    refiner: Refiner
    image: Image
    truth: Truth

    @property
    def linearised(self) -> Linearised:
        """Without a memory: who asks again for the same J waits again."""
        seen = self.refiner.linearised
        return Linearised(seen.base, seen.features, seen.decoder, seen.uncertainty)

    def forget(self) -> None:
        """Back to zero code, and J of the last truth is forgotten, too."""
        self.refiner.reset()
        self.refiner.linearised.jacobian(torch.zeros(1, 2, dtype=torch.long))

    def held(self) -> Held:
        return held_at(self.linearised, self.refiner.config.held).curved()

    def small(self) -> Truth:
        """The truth on the network's grid."""
        return self.truth.resized(self.linearised.size)

    def entries(self) -> Entries:
        return entries_of(self.linearised, self.held(), self.small(), self.model.evidence, self.refiner.config)

    def objective(self, held: Held) -> Objective:
        small = self.small()
        prior = prior_of(self.model, small, self.model.config.prior, lambda: self.refiner.propose(self.truth).code)
        return pose(self.linearised, held, small, small.complete(), prior, self.model.evidence, self.refiner.config)


@lru_cache(maxsize=1)
@torch.no_grad()
def problem_of(case: Case, device: str) -> Problem:
    """A street, and 500 pixels told in the largest region that the first prediction has wrong."""
    model = resized(load_model("camvid")[0], case)
    refiner = Refiner(model, device=device)
    street = Streets(1, seed=5, height=case.image[0], width=case.image[1])[0]
    predicted = refiner.set_image(street.image).labels
    wrong = largest_error(predicted, street.labels)
    assert wrong is not None, "the first prediction has no error to mend"
    row, column = middle(wrong)
    right = street.labels == street.labels[row, column]
    rows, columns = np.indices(right.shape)
    distance = np.where(right, (rows - row) ** 2 + (columns - column) ** 2, np.inf)
    stroke = distance <= np.partition(distance, STROKE, axis=None)[STROKE]
    return Problem(
        case, model, refiner, street.image, mask_truth(stroke, int(street.labels[row, column]), case.classes)
    )


def resized(model: SegCode, case: Case) -> SegCode:
    """A model for other sizes that has the weights of this one wherever the two overlap."""
    config = replace(model.config, size=case.grid, classes=case.classes, code_size=case.code)
    torch.manual_seed(0)
    other = build_segcode(config)
    old = model.state_dict()
    for name, tensor in other.state_dict().items():
        common = tuple(slice(min(a, b)) for a, b in zip(tensor.shape, old[name].shape, strict=True))
        tensor[common] = old[name][common]
    return other.eval().requires_grad_(False)
