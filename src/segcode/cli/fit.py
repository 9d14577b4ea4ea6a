"""`segcode fit`: constants of the Gaussian model for a segmenter, from labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segcode.cli.loading import print_notes
from segcode.cli.measuring import Clicks, Constants, Model, SegmenterName, load_segmenter
from segcode.cli.options import Data, LeaveOut, Only, Root, Split, repeated
from segcode.errors import ConfigError

Folds = Annotated[
    list[str],
    repeated(
        "--fold",
        "PREFIX=MODEL",
        "In place of --model: images whose name begins with PREFIX are predicted by MODEL, trained without them.",
    ),
]


def fit(
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="JSON file for the constants.", show_default=False)
    ],
    folds: Folds,
    only: Only,
    leave_out: LeaveOut,
    model: Model = "",
    segmenter: SegmenterName = "",
    constants: Constants = None,
    root: Root = None,
    split: Split = "train",
    images: Annotated[int, typer.Option(min=1, help="At most this many images of each fold, evenly chosen.")] = 8,
    clicks: Clicks = 10,
    harmful: Annotated[
        float, typer.Option(min=0, max=1, help="Share of clicks that may lower the accuracy of their image.")
    ] = 0.15,
) -> None:
    """Fit the few constants of the Gaussian model to labelled images.

    The segmenter must not have been trained on these images: on its own training images it errs too little. Give
    --fold for networks that were trained without a part of the data each, or --model or --segmenter with labelled
    images that it has not seen; 20 are enough.

    A simulated annotator clicks through the images. The fewest wrong pixels along the click curve are looked for, among
    constants with which at most --harmful of the clicks break more than they repair. Each constant is searched in
    turn. OUT is for --constants of
    `segcode clicks`, `evaluate` and `calibration`, and for `Refiner(model, load_constants(OUT))`.
    """
    from segcode.data.select import Subset, select
    from segcode.data.sources import open_source
    from segcode.evaluation.clicks import ClickConfig
    from segcode.evaluation.fitting import Fold, Trial, fit_constants
    from segcode.field.constants import SHIPPED, load_constants
    from segcode.files import replacing
    from segcode.model.checkpoint import load_model
    from segcode.refinement.refiner import as_segmenter

    if bool(folds) + bool(model) + bool(segmenter) != 1:
        raise ConfigError("give one of --fold, --model and --segmenter: it makes the initial predictions")
    source = select(open_source(data, root, split), only, leave_out)
    named = dict(_fold(text) for text in folds) or {"": model}
    chosen = []
    for prefix, name in named.items():
        part = select(source, [prefix] if prefix else ())
        step = max(1, -(-len(part) // images))
        predictor = load_segmenter(segmenter) if segmenter else load_model(name).model
        spread = Subset(part, part.names[step // 2 :: step])
        print_notes(spread)
        chosen.append(Fold(prefix, as_segmenter(predictor, None), spread))

    def report(trial: Trial) -> None:
        wrong, excess = f"{trial.cost.wrong:.4f} of the error left", f"{trial.cost.excess:.1%} too many harmful clicks"
        typer.echo(f"{'*' if trial.best else ' '} {wrong}, {excess}  {trial.constants}", err=True)

    fitted = fit_constants(
        chosen, source.classes, load_constants(constants or SHIPPED), ClickConfig(clicks), harmful, report
    )
    with replacing(out) as unfinished:
        fitted.save(unfinished)
    typer.echo(f"The constants are in {out}: {fitted}")


def _fold(text: str) -> tuple[str, str]:
    prefix, equals, model = text.partition("=")
    if not prefix or not equals or not model:
        raise ConfigError(f"--fold is '{text}': write PREFIX=MODEL, as in 0001TP=runs/left-0001TP/model")
    return prefix, model
