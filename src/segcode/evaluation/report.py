"""An evaluation as files: tables, figures, and `results.json` for programs."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from math import isnan
from pathlib import Path

from matplotlib.figure import Figure

from segcode.evaluation.figures import iou_matrix, predictions, refinements
from segcode.evaluation.protocol import Evaluation, Gain
from segcode.evaluation.tables import GAINS, comma_separated, gains, latex, markdown, table_1
from segcode.files import replacing, write_text


def write_report(evaluation: Evaluation, out: Path, command: str, settings: Mapping[str, object]) -> None:
    """Write `results.json` with command, commit, versions, settings and rows, `table_1.{md,csv,tex}`, `gains.md`,
    `iou_matrix.png` (Fig. 5), `predictions.png` (Fig. 3) and `refined_CLASS.png` (Fig. 4).

    `results.json` comes first: hours of measuring must not be lost to a picture.
    """
    out.mkdir(parents=True, exist_ok=True)
    _write_results(evaluation, out / "results.json", command, settings)
    rows = table_1(evaluation)
    write_text(out / "table_1.md", markdown(rows))
    write_text(out / "table_1.csv", comma_separated(rows))
    write_text(out / "table_1.tex", latex(rows))
    write_text(out / "gains.md", markdown(gains(evaluation), GAINS))
    write_figure(out / "iou_matrix.png", iou_matrix(evaluation))
    if evaluation.examples:
        write_figure(out / "predictions.png", predictions(evaluation))
        for truth in evaluation.truths:
            name = re.sub(r"\W+", "_", truth)
            write_figure(out / f"refined_{name}.png", refinements(evaluation, truth))


def _write_results(evaluation: Evaluation, path: Path, command: str, settings: Mapping[str, object]) -> None:
    results = provenance(command, settings) | {
        "images": evaluation.images,
        "seconds_a_refinement": evaluation.seconds,
        "solver_statuses": evaluation.statuses,
        "rows": [asdict(row) for row in evaluation.rows],
        "gains": [_gain(gain) for gain in evaluation.gains],
    }
    write_text(path, json.dumps(results, indent=2, default=str) + "\n")


def _gain(gain: Gain) -> dict[str, object]:
    """Intervals by name, None where undefined: JSON has no NaN."""
    figures = asdict(gain)
    return {"truth": figures.pop("truth")} | {
        name: {part: None if isnan(value) else value for part, value in interval._asdict().items()}
        for name, interval in figures.items()
    }


def provenance(command: str, settings: Mapping[str, object]) -> dict[str, object]:
    """What a file of results begins with: how it can be made again."""
    return {
        "command": command,
        "commit": _commit(),
        "versions": {name: version(name) for name in ("segcode", "torch", "numpy")}
        | {"python": sys.version.split()[0]},
        "machine": f"{platform.system()} {platform.machine()}",
        "seed": 0,  # of the draw that thins large truths
        "settings": dict(settings),
    }


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


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG by `replacing`."""
    with replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=110, format="png")
