"""`segcode evaluate`: the paper's experiment on a whole split."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from segcode.cli.loading import choose_device
from segcode.cli.options import (
    Block,
    Data,
    Device,
    Energy,
    Evidence,
    Hold,
    InferWhole,
    LeaveOut,
    Model,
    Only,
    Out,
    Prior,
    Root,
    Solver,
    Split,
    Steps,
    refinement_config,
)
from segcode.cli.progress import progress
from segcode.refinement.config import RefinementConfig, Stopping

Truths = Annotated[
    list[str],
    typer.Option(
        "--truth",
        metavar="CLASS",
        help="Reveal all pixels of this class, refine, and measure. May be repeated; without it only zero code and "
        "the encoder's code are measured.",
        default_factory=list,
        show_default=False,
    ),
]


def evaluate(
    data: Data,
    model: Model,
    out: Out,
    truths: Truths,
    only: Only,
    leave_out: LeaveOut,
    root: Root = None,
    split: Split = "val",
    solver: Solver = RefinementConfig.solver,
    energy: Energy = RefinementConfig.energy,
    evidence: Evidence = RefinementConfig.evidence,
    hold: Hold = RefinementConfig.hold,
    infer_whole: InferWhole = RefinementConfig.infer_whole,
    prior: Prior = RefinementConfig.prior,
    steps: Steps = Stopping.steps,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="The masks are complete: other pixels are not of the class, for pasting too."),
    ] = False,
    part: Annotated[
        float,
        typer.Option(min=0, max=1, help="Reveal only so much of a class, on one side of a line: 0.5 is half a road."),
    ] = 1.0,
    examples: Annotated[int, typer.Option(min=0, help="How many images to show in the panels.")] = 4,
    block: Block = 1,
    device: Device = "auto",
) -> None:
    """Measure first predictions, pasted truth and refinement on a whole split.

    OUT gets table_1 (Markdown, CSV, LaTeX), gains.md (with 95 % intervals over the images), iou_matrix.png (Fig. 5 of
    the paper), predictions.png (Fig. 3), a refined_CLASS.png for each truth (Fig. 4), and results.json for programs.
    All scores come from one confusion matrix over the data set, at the size of its labels; void pixels count nowhere.
    """
    from dataclasses import asdict

    from segcode.data.select import select
    from segcode.data.sources import open_source
    from segcode.evaluation.protocol import evaluate as measure
    from segcode.evaluation.report import write_report
    from segcode.evaluation.tables import GAINS, gains, markdown, table_1
    from segcode.model.checkpoint import load_model

    config = refinement_config(solver, energy, evidence, hold, infer_whole, prior, steps)
    source = select(open_source(data, root, split), only, leave_out)
    evaluation = measure(
        load_model(model),
        source,
        truths,
        config,
        choose_device(device),
        complete=complete,
        part=part,
        examples=examples,
        block=block,
        progress=lambda indices: progress(indices, len(source), "Evaluating"),
    )
    settings = {
        "data": data,
        "root": root,
        "split": split,
        "model": model,
        "complete": complete,
        "part": part,
        "block": block,
    }
    write_report(evaluation, out, shlex.join(["segcode", *sys.argv[1:]]), settings | {"refinement": asdict(config)})
    typer.echo(markdown(table_1(evaluation)))
    if truths:
        typer.echo(markdown(gains(evaluation), GAINS))
    typer.echo(f"{evaluation.images} images; tables, pictures and results.json are in {out}")
