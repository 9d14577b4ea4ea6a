"""`segcode effort`: how good the map gets with how much truth."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
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
        help="Reveal pixels of this class, ever more, and refine each time. May be repeated; without it there are "
        "only clicks.",
        default_factory=list,
        show_default=False,
    ),
]
Amounts = Annotated[
    list[int],
    typer.Option(
        "--amount",
        metavar="PIXELS",
        min=1,
        help="Reveal so many pixels of a --truth. May be repeated; the whole class always follows.",
        default_factory=lambda: [1, 5, 20, 100, 500],
        show_default="1, 5, 20, 100, 500",
    ),
]


def effort(
    data: Data,
    model: Model,
    out: Out,
    truths: Truths,
    amounts: Amounts,
    only: Only,
    leave_out: LeaveOut,
    root: Root = None,
    split: Split = "val",
    rivals: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Measure these trained rivals of the model, too.", show_default=False),
    ] = None,
    clicks: Annotated[int, typer.Option(min=0, help="So many in each image, for each method; 0 for none.")] = 20,
    radius: Annotated[float, typer.Option(min=0, help="Of the disk that a click reveals, in pixels.")] = 3.0,
    jitter: Annotated[float, typer.Option(min=0, help="How far clicks miss their aim (deviation), in pixels.")] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the revealed pixels and of the jitter.")] = 0,
    block: Block = 1,
    solver: Solver = RefinementConfig.solver,
    energy: Energy = RefinementConfig.energy,
    evidence: Evidence = RefinementConfig.evidence,
    hold: Hold = RefinementConfig.hold,
    infer_whole: InferWhole = RefinementConfig.infer_whole,
    prior: Prior = RefinementConfig.prior,
    steps: Steps = Stopping.steps,
    device: Device = "auto",
) -> None:
    """Measure how good the map gets with how much truth.

    Revealed pixels: of each --truth, a few random pixels of an image are revealed, then more, then the whole class.
    What counts is the share of the error left after pasting them that a method removes.

    Clicks: a simulated annotator clicks into the middle of the largest wrong region and tells the class of a small
    disk there, then looks at the new map, and so on. Each method gets clicks on its own errors.

    Methods are pasting (the truth replaces the prediction, and nothing else changes), pasting and ruling out elsewhere
    what seems to be told as a whole, the optimised code, the label encoder's proposal without a solve, and the
    --rivals. OUT gets effort.md and effort.csv, effort_pixels.png and effort_clicks.png, and effort.json for programs.
    The truth is pasted into the maps of all methods; scores come from one confusion matrix over the data set, at the
    size of its labels, and void pixels count nowhere.
    """
    from dataclasses import asdict

    from segcode.data.select import select
    from segcode.data.sources import open_source
    from segcode.evaluation.effort import EffortConfig, measure_effort
    from segcode.evaluation.effort_report import effort_tables, write_effort
    from segcode.evaluation.methods import Inferred, Method, Optimised, Pasted, Proposed
    from segcode.model.checkpoint import load_model

    config = EffortConfig(tuple(truths), tuple(amounts), clicks, radius, jitter, seed, block)
    refinement = refinement_config(solver, energy, evidence, hold, infer_whole, prior, steps)
    source = select(open_source(data, root, split), only, leave_out)
    trained = load_model(model)
    methods: list[Method] = [Pasted(), Inferred(), Optimised(), Proposed()]
    if rivals is not None:
        from segcode.evaluation.baselines import dense_crf, load_rivals

        if not dense_crf.is_installed():
            typer.echo("Without DenseCRF, which is not installed: pip install 'segcode[rivals]'", err=True)
        methods += load_rivals(rivals, trained.model)
    measured = measure_effort(
        trained,
        source,
        methods,
        config,
        refinement,
        choose_device(device),
        lambda indices: progress(indices, len(source), "Measuring"),
    )
    settings = {"data": data, "root": root, "split": split, "model": model, "rivals": rivals, "effort": asdict(config)}
    write_effort(measured, out, shlex.join(["segcode", *sys.argv[1:]]), settings | {"refinement": asdict(refinement)})
    typer.echo(effort_tables(measured))
    for name in truths:
        if name not in measured.truths:
            typer.echo(f"No image shows any '{name}'", err=True)
    typer.echo(f"{measured.images} images; tables, pictures and effort.json are in {out}")
