"""What can go wrong, as a small tree: every error that a user can cause derives from `SegcodeError`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SegcodeError(Exception):
    """A problem that the user can solve; the message names the value and the cure."""


class ConfigError(SegcodeError):
    """An experiment file or a configuration has an unknown key or an impossible value."""


class DataError(SegcodeError):
    """A file or folder is missing, damaged or in use, or does not fit its partner."""


class TruthError(SegcodeError):
    """Partial truth names an unknown class, or does not fit the image."""


class CheckpointError(SegcodeError):
    """A model folder is missing, incomplete, or from another architecture."""


class TrainingError(SegcodeError):
    """A training cannot go on: it diverges."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message for an unknown name: the closest known one, or what there is."""
    known = list(known)
    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"known: {', '.join(known[:20])}{more}"
