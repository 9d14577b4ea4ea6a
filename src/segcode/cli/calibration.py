"""`segcode calibration`: are the probabilities right, and does the doubt find the errors?"""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from segcode.cli.loading import choose_device
from segcode.cli.options import (
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
        help="Reveal all pixels of this class, refine, and judge the other pixels before and after. May be repeated; "
        "without it only zero code is measured.",
        default_factory=list,
        show_default=False,
    ),
]


def calibration(
    data: Data,
    model: Model,
    out: Out,
    truths: Truths,
    only: Only,
    leave_out: LeaveOut,
    root: Root = None,
    split: Split = "val",
    samples: Annotated[int, typer.Option(min=2, help="Sampled maps of each image.")] = 8,
    codes: Annotated[int, typer.Option(min=1, help="Codes that the predictive probabilities average over.")] = 16,
    solver: Solver = RefinementConfig.solver,
    energy: Energy = RefinementConfig.energy,
    evidence: Evidence = RefinementConfig.evidence,
    hold: Hold = RefinementConfig.hold,
    infer_whole: InferWhole = RefinementConfig.infer_whole,
    prior: Prior = RefinementConfig.prior,
    steps: Steps = Stopping.steps,
    device: Device = "auto",
) -> None:
    """Measure how far the model's probabilities, doubts and samples can be believed, on a whole split.

    Calibration: of all pixels that the model gives 80 %, 80 % should be right. ECE is the mean distance from that;
    NLL and the Brier score also reward being sharp. Each is measured for the map itself ("map") and for probabilities
    averaged over the codes that the truth leaves possible ("predictive").

    Error detection: a score of doubt is good if wrong pixels have more of it than right ones. AUROC is the chance
    of that, 50 % for a guess; AUPR is the precision of the pixels flagged, averaged over recall.

    Samples: they should differ where the map is wrong and agree where it is right. "Wrong pixels covered" are those
    whose true class some sample has.

    OUT gets calibration.md with all tables, the same as calibration.csv, error_detection.csv, samples.csv and
    swaps.csv, the pictures reliability.png and error_detection.png, and calibration.json for programs. Void pixels
    count nowhere, and pixels that a truth reveals count neither before nor after it.
    """
    from dataclasses import asdict

    from segcode.data.select import select
    from segcode.data.sources import open_source
    from segcode.evaluation.calibration import measure_calibration
    from segcode.evaluation.calibration_report import summary, write_calibration
    from segcode.model.checkpoint import load_model

    config = refinement_config(solver, energy, evidence, hold, infer_whole, prior, steps)
    source = select(open_source(data, root, split), only, leave_out)
    measured = measure_calibration(
        load_model(model),
        source,
        truths,
        config,
        choose_device(device),
        samples,
        codes,
        lambda indices: progress(indices, len(source), "Measuring"),
    )
    settings = {"data": data, "root": root, "split": split, "model": model, "samples": samples, "codes": codes}
    write_calibration(measured, out, shlex.join(["segcode", *sys.argv[1:]]), settings | {"refinement": asdict(config)})
    typer.echo(summary(measured))
    typer.echo(f"{measured.images} images; tables, pictures and calibration.json are in {out}")
