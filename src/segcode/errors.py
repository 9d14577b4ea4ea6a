"""The errors that a user can cause, which derive from `SegcodeError`, and parts of their messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from traceback import extract_tb


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
    return f"known: {listed(known)}"


def listed(items: Sequence[object], most: int = 20) -> str:
    """The first `most` items, separated by commas, and the number of the others: "a, b and 3 more"."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more


def reason(error: Exception) -> str:
    """The message of another library's error, in one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def where(error: BaseException) -> str:
    """The kind and the message of an error of another's code, and the file and line that raised it."""
    last = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}, {last.filename} line {last.lineno}"
