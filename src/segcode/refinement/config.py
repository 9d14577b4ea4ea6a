"""How the code is optimised; light to import, for the command line shows these defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Energy = Literal["cross_entropy", "euclidean"]
Solver = Literal["gauss_newton", "levenberg_marquardt", "adam", "lbfgs"]


@dataclass(frozen=True)
class Stopping:
    """When a solver stops.

    Args:
        steps: at most this many.
        tolerance: stop once the cost is within this share of its minimum.
    """

    steps: int = 50
    tolerance: float = 1e-6

    def met(self, cost: float, gap: float) -> bool:
        """Whether a cost is near enough to its minimum, given a bound of the distance to it."""
        return gap <= self.tolerance * cost


@dataclass(frozen=True)
class CodeConfig:
    """How the code is optimised.

    Args:
        energy: "cross_entropy", convex in the code, or "euclidean", the paper's.
        solver: "gauss_newton" is recommended; the first-order solvers are baselines.
        pixels: labelled pixels that enter at most; of more, a sample is taken.
        stopping: when the solver stops.
    """

    energy: Energy = "cross_entropy"
    solver: Solver = "gauss_newton"
    pixels: int = 1024
    stopping: Stopping = field(default_factory=Stopping)
