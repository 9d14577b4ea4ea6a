"""What a solver gives back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jaxtyping import Float
from torch import Tensor


class Status(Enum):
    """How a refinement ended, as a sentence."""

    CONVERGED = "Converged: the cost is within the tolerance of its minimum."
    STEP_LIMIT = "Stopped at the step limit before the cost had settled: raise `steps` for a better code."
    STALLED = "Stopped where no step lowers the cost any more, as far as the arithmetic can tell."
    NO_TRUTH = "There was no truth, so the code is zero and the map is the first prediction."


@dataclass(frozen=True)
class Solution:
    """A code that explains the truth.

    Attributes:
        code: (N,).
        costs: E at the start and after each accepted step.
        status: how it ended; not converging is a status, never an exception.
        factor: of the last matrix, the lower one by Cholesky: it may serve the next problem. Not all solvers have one.
    """

    code: Float[Tensor, "N"]
    costs: tuple[float, ...]
    status: Status
    factor: Float[Tensor, "N N"] | None = None

    @property
    def steps(self) -> int:
        """Accepted steps."""
        return len(self.costs) - 1

    def __str__(self) -> str:
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        return f"{self.status.value} ({steps}, cost {self.costs[0]:.4g} to {self.costs[-1]:.4g})"
