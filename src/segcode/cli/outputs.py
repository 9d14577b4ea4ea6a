"""Where results go, so that none overwrites an input."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from segcode.errors import DataError


def refuse_to_overwrite(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raises DataError if a result would be written over a file that it is made from."""
    read = set(map(os.path.realpath, inputs))  # pathlib's raises an error for a link that leads to itself
    for path in outputs:
        if os.path.realpath(path) in read:
            raise DataError(f"{path} is an input and would be overwritten: give another folder with -o")
