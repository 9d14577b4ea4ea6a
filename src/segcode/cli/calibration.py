"""`segcode calibration`: whether probabilities can be believed, and whether uncertainty finds the errors."""

from __future__ import annotations

from typing import Annotated

import typer

from segcode.cli import measuring, options

Truths = Annotated[
    list[str], options.repeated("--truth", "CLASS", "Also give an exhaustive mask of this class, in place of clicks.")
]


def calibration(
    measurement: measuring.Measurement,
    out: options.Out,
    truths: Truths,
    clicks: measuring.Clicks = 5,
    radius: measuring.ClickRadius = 3.0,
    jitter: measuring.Jitter = 2.0,
    seed: measuring.Seed = 0,
    draws: Annotated[int, typer.Option(min=2, help="Draws that probabilities are averaged over.")] = 16,
) -> None:
    """Measure whether probabilities can be believed, before and after clicks or a mask.

    Calibration: of all pixels with a top probability of 80 %, 80 % should be right. ECE is the mean distance from that;
    NLL and the Brier score also reward confidence. They are measured at the mode of the posterior, and for
    probabilities averaged over draws from it.

    Error detection: wrong pixels should have a higher entropy than right ones. AUROC is the chance of that, 50 % for a
    guess; average precision is the precision of the flagged pixels, averaged over recall.

    OUT gets results.json for programs, the same rows as results.csv, tables.md and reliability.png. Void pixels do not
    count, and labelled pixels count neither before nor after.
    """
    from dataclasses import asdict

    from segcode.evaluation.calibration import measure_calibration
    from segcode.evaluation.clicks import ClickConfig
    from segcode.evaluation.figures import reliability_diagram
    from segcode.evaluation.tables import calibration_tables

    config = ClickConfig(clicks, radius, jitter, tuple(truths), seed=seed)
    measured = measurement.measured()
    results = measure_calibration(measured.refiner, measured.classes, measured.source, config, draws, measured.progress)
    tables = calibration_tables(results)
    figures = {"reliability": lambda: reliability_diagram(results)}
    measured.report(results, out, tables, figures, draws=draws, **asdict(config))
