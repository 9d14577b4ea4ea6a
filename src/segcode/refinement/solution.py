"""What a solver of the code path returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jaxtyping import Float
from torch import Tensor


class StopReason(Enum):
    """How a solver ended, as a sentence."""

    CONVERGED = "Converged: the cost is within the tolerance of its minimum."
    STEP_LIMIT = "Stopped at the step limit before the cost had settled: raise `steps` for a better code."
    STALLED = "Stopped where no step lowers the cost: the limit of the arithmetic."


@dataclass(frozen=True)
class Solution:
    """A code that explains the truth.

    Attributes:
        code: (N,).
        costs: E at the start and after each accepted step.
        reason: how it ended; not converging is a status, never an exception.
    """

    code: Float[Tensor, "N"]
    costs: tuple[float, ...]
    reason: StopReason

    @property
    def steps(self) -> int:
        """Accepted steps."""
        return len(self.costs) - 1

    def __str__(self) -> str:
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        return f"{self.reason.value} ({steps}, cost {self.costs[0]:.4g} to {self.costs[-1]:.4g})"
