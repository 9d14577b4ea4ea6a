"""How truth is weighed and the code is found; light to import, for the command line shows these defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Energy = Literal["cross_entropy", "euclidean"]
Solver = Literal["levenberg_marquardt", "gauss_newton", "adam", "lbfgs"]


@dataclass(frozen=True)
class Stopping:
    """When a solver stops.

    Args:
        steps: at most so many.
        tolerance: stop once the cost is within this share of its minimum.
    """

    steps: int = 50
    tolerance: float = 1e-4

    def met(self, cost: float, gradient_norm: float) -> bool:
        """Whether the cost is near enough to its minimum, as the gradient tells.

        The prior 1/2 |c|^2 makes a convex E strongly convex, hence E(c) - min E <= 1/2 |g|^2: a bound for
        cross-entropy on known classes, a good guess for the other energies.
        """
        return 0.5 * gradient_norm**2 <= self.tolerance * cost


@dataclass(frozen=True)
class RefinementConfig:
    """How truth is weighed and the code is found.

    Args:
        energy: "cross_entropy", convex in the code, or "euclidean", the paper's.
        solver: Levenberg-Marquardt is fast and safe; the first-order solvers are baselines.
        evidence: a single known pixel counts as much as so many independent ones.
        growth: n known pixels count as evidence * n ** growth independent ones, for neighbours err together.
        pixels: the most that enter a solve; of more, an even draw is taken.
        stopping: when the solver stops.
    """

    energy: Energy = "cross_entropy"
    solver: Solver = "levenberg_marquardt"
    evidence: float = 2.0
    growth: float = 0.5
    pixels: int = 1024
    stopping: Stopping = field(default_factory=Stopping)
