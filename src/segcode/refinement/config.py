"""How truth is weighed and the code is found; light to import, for the command line shows these defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Energy = Literal["cross_entropy", "euclidean"]
PriorKind = Literal["model", "standard", "learnt", "encoder"]
Solver = Literal["gauss_newton", "levenberg_marquardt", "adam", "lbfgs"]


@dataclass(frozen=True)
class Stopping:
    """When a solver stops.

    Args:
        steps: at most so many.
        tolerance: stop once the cost is within this share of its minimum.
    """

    steps: int = 50
    tolerance: float = 3e-7

    def met(self, cost: float, gap: float) -> bool:
        """Whether a cost is near enough to its minimum, given a bound of the distance to it."""
        return gap <= self.tolerance * cost


@dataclass(frozen=True)
class RefinementConfig:
    """How truth is weighed and the code is found.

    Args:
        energy: "cross_entropy", convex in the code, or "euclidean", the paper's.
        solver: "gauss_newton" is the fastest; the first-order solvers are baselines.
        evidence: factor on what so many known pixels are worth in the model.
        hold: factor on how firmly the model holds its first prediction, as far as truth leaves it; 0 leaves the prior
            alone, as in the paper.
        infer_whole: where a class, the only one, seems to be told as a whole, take it that there is none elsewhere.
        prior: of the code: "standard" is N(0, I); "learnt" has the variances that the model has learnt for truth about
            the told classes; "encoder" the same around what the label encoder proposes from the image and the truth;
            "model" is the one of these that the model names as its own.
        pixels: the most that enter a solve; of more, an even draw is taken.
        held: at so many pixels, evenly spread, the first prediction is held.
        stopping: when the solver stops.
    """

    energy: Energy = "cross_entropy"
    solver: Solver = "gauss_newton"
    evidence: float = 1.0
    hold: float = 1.0
    infer_whole: bool = True
    prior: PriorKind = "model"
    pixels: int = 1024
    held: int = 400
    stopping: Stopping = field(default_factory=Stopping)
