"""`segcode calibration`: whether probabilities can be believed, and whether uncertainty finds the errors."""

from __future__ import annotations

from typing import Annotated

import typer

from segcode.cli.measuring import (
    ClickRadius,
    Clicks,
    Constants,
    Jitter,
    Model,
    Seed,
    SegmenterName,
    command_line,
    open_measurement,
    truths_option,
)
from segcode.cli.options import Data, Device, LeaveOut, Only, Out, Root, Split

Truths = Annotated[
    list[str], truths_option("Also give an exhaustive mask of this class, in place of clicks. May be repeated.")
]


def calibration(
    data: Data,
    out: Out,
    truths: Truths,
    only: Only,
    leave_out: LeaveOut,
    model: Model = "",
    segmenter: SegmenterName = "",
    constants: Constants = None,
    root: Root = None,
    split: Split = "val",
    clicks: Clicks = 5,
    radius: ClickRadius = 3.0,
    jitter: Jitter = 2.0,
    seed: Seed = 0,
    draws: Annotated[int, typer.Option(min=2, help="Draws that probabilities are averaged over.")] = 16,
    device: Device = "auto",
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
    from segcode.evaluation.report import write_report
    from segcode.evaluation.tables import calibration_tables

    config = ClickConfig(clicks, radius, jitter, tuple(truths), seed=seed)
    measured = open_measurement(data, root, split, only, leave_out, model, segmenter, constants, device)
    results = measure_calibration(measured.refiner, measured.classes, measured.source, config, draws, measured.progress)
    settings = {
        "data": data,
        "root": root,
        "split": split,
        "model": model or segmenter,
        "draws": draws,
        "constants": asdict(measured.refiner.constants),
        **asdict(config),
    }
    tables = calibration_tables(results)
    write_report(results, out, command_line(), settings, tables, {"reliability": lambda: reliability_diagram(results)})
    typer.echo(tables)
    typer.echo(f"{results.images} images; results.json, tables and pictures are in {out}")
