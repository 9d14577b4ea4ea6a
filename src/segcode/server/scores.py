"""Scores of images that outlive the server: computing them takes as long as opening the images."""

from __future__ import annotations

import json
from collections.abc import Hashable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from segcode.server.session import Score


class ScoreFile:
    """A line for each score that was computed, by all that it follows from; without the file they are computed again.

    A line that was cut off, or cannot be written, is left out.
    """

    def __init__(self, path: Path) -> None:
        """Read the scores of a file; there need be none."""
        self._path = path
        self._scores: dict[str, Score] = {}
        with suppress(OSError):
            for line in path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError):
                    key, *numbers = json.loads(line)
                    self._scores[key] = Score(*map(float, numbers))

    def find(self, source: Hashable) -> Score | None:
        """The score that follows from a source, whose `repr` names it."""
        return self._scores.get(_digest(source))

    def add(self, source: Hashable, score: Score) -> None:
        """Keep a score."""
        self._scores[_digest(source)] = score
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"\n{json.dumps([_digest(source), *score])}")  # the last line may be cut off


def _digest(source: Hashable) -> str:
    return sha256(repr(source).encode()).hexdigest()[:24]
