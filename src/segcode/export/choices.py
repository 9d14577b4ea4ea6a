"""What an export of a job may be asked for; the command line names it in `--help`, which imports nothing heavy."""

from __future__ import annotations

from typing import Literal, TypeAlias

Layout: TypeAlias = Literal["indices", "ids", "voc", "coco"]
"""The layouts that `segcode.export.job.Job` writes."""

Which: TypeAlias = Literal[
    "all", "to do", "untouched", "in work", "sent back", "done", "to review", "accepted", "flagged"
]
"""Which images of a job are meant."""
