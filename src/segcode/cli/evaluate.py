"""`segcode evaluate`: the paper's experiment, one class of each image labelled."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import typer

from segcode.cli import measuring, options
from segcode.refinement import config
from segcode.refinement.config import CodeConfig

Extent = Literal["exhaustive", "outline", "part"]
Truths = Annotated[
    list[str],
    options.repeated(
        "--truth",
        "CLASS",
        "Label all pixels of this class, refine, and measure; without it only the initial prediction and the encoder's "
        "code are measured.",
    ),
]


def evaluate(
    measurement: measuring.Measurement,
    out: options.Out,
    truths: Truths,
    extent: Annotated[
        Extent, typer.Option(help="What a mask says of other pixels; see `segcode refine`.")
    ] = "exhaustive",
    energy: Annotated[
        config.Energy, typer.Option(help="Of the code alone: euclidean is the paper's, cross_entropy is convex.")
    ] = CodeConfig.energy,
    solver: Annotated[
        config.Solver, typer.Option(help="Of the code alone; gauss_newton is recommended.")
    ] = CodeConfig.solver,
    examples: Annotated[int, typer.Option(min=0, help="Images to show in the pictures.")] = 4,
    block: options.Block = 1,
) -> None:
    """Measure the initial prediction, two controls without optimisation, and refinement, on masks of one class.

    "Replaced" writes the labelled pixels into the initial prediction; "replaced + excluded" also excludes an exhaustive
    class elsewhere. "Optimised" is segcode; "code alone" optimises the paper's code without the field.

    OUT gets results.json for programs, the same rows as results.csv, tables.md (with 95 % intervals over the images),
    iou_matrix.png (Fig. 5 of the paper), predictions.png (Fig. 3), and a refined_CLASS.png for each truth (Fig. 4).
    All scores come from one confusion matrix over all images, at the size of their labels; void pixels do not count.
    """
    from dataclasses import asdict
    from functools import partial

    from segcode.evaluation.figures import examples_shown, iou_matrix
    from segcode.evaluation.masks import measure_masks
    from segcode.evaluation.tables import mask_tables

    measured = measurement.measured()
    code = CodeConfig(energy, solver)
    results = measure_masks(
        measured.refiner,
        measured.classes,
        measured.source,
        measured.model,
        truths,
        code,
        extent=extent,
        examples=examples,
        block=block,
        progress=measured.progress,
    )
    figures = {"iou_matrix": partial(iou_matrix, results, measured.classes)}
    if results.examples:
        figures["predictions"] = partial(examples_shown, results, None)
        figures |= {"refined_" + re.sub(r"\W+", "_", name): partial(examples_shown, results, name) for name in truths}
    tables = mask_tables(results)
    measured.report(results, out, tables, figures, extent=extent, block=block, code=asdict(code))
