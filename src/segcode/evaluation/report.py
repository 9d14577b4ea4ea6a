"""The one writer of results: `results.json` for programs, the same rows as CSV, tables as Markdown, figures as PNG."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from matplotlib.figure import Figure

from segcode.data.images import NOTE
from segcode.evaluation.results import Results
from segcode.files import comma_separated, replacing, write_text

Figures: TypeAlias = Mapping[str, Callable[[], Figure]]
"""The functions that draw the figures, by file name without ending."""


def write_report(
    results: Results, out: Path, command: str, settings: Mapping[str, object], tables: str, figures: Figures
) -> None:
    """Write `results.json` with command, commit, versions, settings and rows; `results.csv`, `tables.md`, and figures.

    `results.json` comes first: hours of measuring must not be lost to a picture.

    Tables are Markdown; figures are drawn when their turn comes.
    """
    record = {
        "command": command,
        "commit": _commit(),
        "versions": {name: version(name) for name in ("segcode", "torch", "numpy", "scipy")}
        | {"python": sys.version.split()[0]},
        "machine": f"{platform.system()} {platform.machine()}",
        "settings": dict(settings),
        "images": results.images,
        "rows": results.rows,
    }
    write_text(out / "results.json", json.dumps(record, indent=2, default=str) + "\n")
    write_text(out / "results.csv", comma_separated(results.rows))
    write_text(out / "tables.md", tables)
    for name, draw in figures.items():
        with replacing(out / f"{name}.png") as unfinished:
            draw().savefig(unfinished, dpi=110, format="png", metadata={NOTE: "{}"})


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table, the first column to the left and the others to the right."""
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, ruler, *rows))


def percent(share: object) -> str:
    """A share 0..1 with two decimals; a dash where there is none."""
    return f"{100 * share:.2f}" if isinstance(share, int | float) else "-"


def number(value: object) -> str:
    """A figure as text: with three decimals, a count as it is; a dash where there is none."""
    if isinstance(value, float):
        return f"{value:.3f}"
    return "-" if value is None else str(value)


def _commit() -> str | None:
    """The commit of the source that runs, with "+changes" if files differ from it; None outside a checkout.

    A package that is installed inside the checkout of another project is not part of its commits: None as well.
    """
    file = Path(__file__)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", file.parent, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
