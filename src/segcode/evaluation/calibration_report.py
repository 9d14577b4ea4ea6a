"""A calibration as files: tables, figures, and `calibration.json` for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segcode.evaluation.calibration import Calibration, Row
from segcode.evaluation.report import provenance, write_figure
from segcode.evaluation.tables import comma_separated, markdown, percent
from segcode.files import write_text

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""A header and rows."""

COLOURS: Final = {"before": "tab:blue", "after": "tab:orange"}


def write_calibration(calibration: Calibration, out: Path, command: str, settings: Mapping[str, object]) -> None:
    """Write `calibration.json` with command, commit, versions, settings and rows; `calibration.md` with all tables, one
    CSV for each of them, `reliability.png` and `error_detection.png`.

    `calibration.json` comes first: hours of measuring must not be lost to a picture.
    """
    out.mkdir(parents=True, exist_ok=True)
    results = provenance(command, settings) | {
        "sample_seeds": "each image's number among those measured, from 0",
        "images": calibration.images,
        "solver_statuses": calibration.statuses,
        "rows": [asdict(row) for row in calibration.rows],
    }
    write_text(out / "calibration.json", json.dumps(results, indent=2, default=str) + "\n")
    for name, (header, rows) in tables(calibration).items():
        write_text(out / f"{name}.csv", comma_separated(rows, header))
    write_text(out / "calibration.md", summary(calibration))
    write_figure(out / "reliability.png", reliability_diagram(calibration))
    write_figure(out / "error_detection.png", error_detection(calibration))


def summary(calibration: Calibration) -> str:
    """All tables as Markdown, each with its reading."""
    reading = {
        "calibration": "Calibration: accuracy and ECE in %, NLL in nats a pixel, Brier score summed over classes.",
        "error_detection": "Error detection: the wrong pixels of the map are the positives, AUROC and AUPR in %. A "
        "guess has an AUROC of 50 % and the error as AUPR. PAvPU with as many uncertain pixels as wrong ones.",
        "samples": "Samples, in %. Right and wrong is what the map is; varied: at least one sample differs from it.",
        "swaps": "What samples differ in: pairs of classes, in % of the pixels on which a sample differs from the map.",
    }
    found = tables(calibration)
    return "\n".join(f"{text}\n\n{markdown(found[name][1], found[name][0])}" for name, text in reading.items())


def tables(calibration: Calibration) -> dict[str, Table]:
    """By file name. The pixels judged are all known ones, or those that the truth does not reveal."""
    rows = calibration.rows
    return {
        "calibration": (
            ("state", "pixels", "probabilities", "accuracy", "ECE", "NLL", "Brier"),
            [
                (*_name(row), kind, percent(s.accuracy), percent(s.ece), _number(s.nll), _number(s.brier))
                for row in rows
                for kind, s in (("map", row.map), ("predictive", row.predictive))
            ],
        ),
        "error_detection": (
            ("state", "pixels", "score", "error", "AUROC", "AUPR", "PAvPU"),
            [
                (*_name(row), score, percent(_error(row)), percent(d.auroc), percent(d.aupr), percent(d.pavpu))
                for row in rows
                for score, d in row.detection.items()
            ],
        ),
        "samples": (
            (
                "state", "pixels", "disagreement of two samples", "accuracy of the map", "of the mean map",
                "of a sample", "of the best sample", "wrong pixels covered", "wrong pixels varied",
                "right pixels varied",
            ),
            [_sampled(row) for row in rows],
        ),
        "swaps": (
            ("state", "pixels", "classes", "share"),
            [(*_name(row), " / ".join(s.classes), percent(s.share)) for row in rows for s in row.samples.swaps],
        ),
    }  # fmt: skip


def reliability_diagram(calibration: Calibration) -> Figure:
    """Accuracy by confidence, before and after; on the dashed line probabilities are right, below it too high.

    The area of a marker is the share of pixels that its bin holds.
    """
    figure, panels = _panels(calibration)
    for title, (axes, rows) in panels.items():
        axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
        for row in rows:
            for kind, s, line in (("map", row.map, "-"), ("predictive", row.predictive, ":")):
                confidence, accuracy = (np.array(v, dtype=float) for v in (s.bin_confidence, s.bin_accuracy))
                filled = ~np.isnan(confidence)
                share = np.array(s.bin_share, dtype=float)[filled]
                label = f"{row.state}, {kind}: ECE {percent(s.ece)} %"
                axes.plot(confidence[filled], accuracy[filled], line, color=COLOURS[row.state], label=label)
                axes.scatter(confidence[filled], accuracy[filled], 4 + 200 * share, COLOURS[row.state], alpha=0.4)
        axes.set(title=title, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(fontsize=7, loc="upper left")
    return figure


def error_detection(calibration: Calibration) -> Figure:
    """ROC of every score, dotted before and solid after; the wrong pixels of the map are the positives."""
    figure, panels = _panels(calibration)
    for title, (axes, rows) in panels.items():
        axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
        for row in rows:
            for i, (score, d) in enumerate(row.detection.items()):
                line = "-" if row.state == "after" or len(rows) == 1 else ":"
                label = f"{row.state}, {score}: AUROC {percent(d.auroc)} %"
                axes.plot(np.linspace(0, 1, len(d.roc)), d.roc, line, color=f"C{i}", label=label)
        axes.set(title=title, xlabel="right pixels flagged", ylabel="wrong pixels flagged", aspect="equal")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.legend(fontsize=7, loc="lower right")
    return figure


def _panels(calibration: Calibration) -> tuple[Figure, dict[str, tuple[Axes, list[Row]]]]:
    """One panel for all pixels, and one for those that each truth does not reveal."""
    figure = Figure(figsize=(4.6 * (1 + len(calibration.truths)), 4.8), layout="constrained")
    truths = (None, *calibration.truths)
    row_of_axes = figure.subplots(1, len(truths), squeeze=False)[0]
    panels = {}
    for axes, truth in zip(row_of_axes, truths, strict=True):
        rows = [row for row in calibration.rows if row.truth == truth]
        panels[_pixels(rows[0])] = (axes, rows)
    return figure, panels


def _sampled(row: Row) -> tuple[str, ...]:
    s = row.samples
    shares = (
        s.disagreement, s.accuracy, row.predictive.accuracy, s.mean_accuracy, s.best_accuracy, s.coverage,
        s.wrong_varied, s.right_varied,
    )  # fmt: skip
    return (*_name(row), *map(percent, shares))


def _name(row: Row) -> tuple[str, str]:
    return row.state if row.state == "before" else f"after {row.truth}", _pixels(row)


def _pixels(row: Row) -> str:
    return "all pixels" if row.truth is None else f"not revealed by {row.truth}"


def _error(row: Row) -> float | None:
    return None if row.map.accuracy is None else 1 - row.map.accuracy


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
