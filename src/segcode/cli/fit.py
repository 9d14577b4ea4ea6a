"""`segcode fit`: constants of the Gaussian model for a segmenter, from labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    broken_price: Annotated[
        float, typer.Option(min=0, help="Price of a right pixel that a click makes wrong, in wrong pixels.")
    ] = 0.5,
) -> None:
    """Fit the few constants of the Gaussian model to labelled images.

    The segmenter must not have been trained on these images: on its own training images it errs too little. Give
    --fold for networks that were trained without a part of the data each, or --model or --segmenter with labelled
    images that it has not seen; 20 are enough.

    A simulated annotator clicks through the images. The cost is the mean share of wrong pixels along the click curve,
    and a price for right pixels that clicks break. Each constant is searched in turn. OUT is for --constants of
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
        chosen.append(Fold(prefix, as_segmenter(predictor, None), Subset(part, part.names[step // 2 :: step])))

    def report(trial: Trial) -> None:
        typer.echo(f"{'*' if trial.best else ' '} cost {trial.cost:.4f}  {trial.constants}", err=True)

    fitted = fit_constants(
        chosen, source.classes, load_constants(constants or SHIPPED), ClickConfig(clicks), broken_price, report
    )
    with replacing(out) as unfinished:
        fitted.save(unfinished)
    typer.echo(f"The constants are in {out}: {fitted}")


def _fold(text: str) -> tuple[str, str]:
    prefix, equals, model = text.partition("=")
    if not prefix or not equals or not model:
        raise ConfigError(f"--fold is '{text}': write PREFIX=MODEL, as in 0001TP=runs/left-0001TP/model")
    return prefix, model
