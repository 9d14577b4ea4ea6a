"""The result of a solver of the code path."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jaxtyping import Float
from numpy import ndarray


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

    code: Float[ndarray, "N"]
    costs: tuple[float, ...]
    reason: StopReason
