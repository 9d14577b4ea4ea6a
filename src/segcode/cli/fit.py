"""`segcode fit`: constants of the Gaussian model for a segmenter, from labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcode.cli import options
from segcode.cli.loading import open_named, print_notes
from segcode.errors import ConfigError

if TYPE_CHECKING:
    from segcode.evaluation.fitting import Cost

Folds = Annotated[
    list[str],
    options.repeated(
        "--fold",
        "PREFIX=SEGMENTER",
        "In place of SEGMENTER: images whose name begins with PREFIX are predicted by one that was trained without "
        "them.",
    ),
]


def fit(
    data: options.Data,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FITTED", help="Folder for constants and curve.", show_default=False),
    ],
    folds: Folds,
    only: options.Only,
    leave_out: options.LeaveOut,
    segmenter: options.SegmenterArgument = "",
    classes: options.Classes = None,
    numbers: options.Numbers = None,
    confidence: options.Confidence = None,
    constants: options.Constants = None,
    device: options.Device = "auto",
    root: options.Root = None,
    split: options.Split = "train",
    images: Annotated[int, typer.Option(min=1, help="At most this many images of each fold, evenly chosen.")] = 8,
    clicks: Annotated[int, typer.Option(min=1, help="Simulated clicks in each image.")] = 10,
    harmful: Annotated[
        float, typer.Option(min=0, max=1, help="Share of clicks that may lower the accuracy of their image.")
    ] = 0.15,
) -> None:
    """Fit the few constants of the Gaussian model, with the temperature, to labelled images.

    The segmenter must not have been trained on these images: on its own training images it errs too little. Give
    SEGMENTER and labelled images that it has not seen, 20 are enough; or --fold for networks that were trained without
    a part of the data each.

    A simulated annotator clicks through the images. The fewest wrong pixels along the click curve are looked for, among
    constants with which at most --harmful of the clicks break more than they repair. Each constant is searched in
    turn. The click curve before and after is that of other images of the data, where there are any.

    FITTED gets constants.json and clicks.csv. It is for --constants of the other commands, and for
    `Refiner(segmenter, load_constants(FITTED))`.
    """
    from segcode.data.select import Subset, check_classes, select
    from segcode.data.sources import open_source
    from segcode.evaluation.clicks import ClickConfig
    from segcode.evaluation.fitting import Fold, Trial, click_cost, evenly, fit_constants
    from segcode.field.constants import SHIPPED, load_constants
    from segcode.files import replacing, write_text

    if bool(folds) == bool(segmenter):
        raise ConfigError("give either SEGMENTER or --fold: it makes the initial predictions")
    source = select(open_source(data, root, split), only, leave_out)
    chosen, others = [], []
    for prefix, name in (dict(map(_fold, folds)) or {"": segmenter}).items():
        part = select(source, [prefix] if prefix else ())
        predictor = open_named(name, device, classes, numbers, confidence, source.classes)
        check_classes(source, predictor.classes)
        names = evenly(part.names, images)
        spread = Subset(part, names)
        print_notes(spread)
        chosen.append(Fold(prefix, predictor.segmenter, spread))
        if rest := evenly([name for name in part.names if name not in names], images):
            others.append(Fold(prefix, predictor.segmenter, Subset(part, rest)))

    def report(trial: Trial) -> None:
        wrong, excess = f"{trial.cost.wrong:.4f} of the error left", f"{trial.cost.excess:.1%} too many harmful clicks"
        typer.echo(f"{'*' if trial.best else ' '} {wrong}, {excess}  {trial.constants}", err=True)

    start, config = load_constants(constants or SHIPPED), ClickConfig(clicks)
    fitted = fit_constants(chosen, source.classes, start, config, harmful, report)
    fresh = others if len(others) == len(chosen) else chosen
    before, after = (click_cost(fresh, source.classes, one, config, harmful) for one in (start, fitted))
    with replacing(out / SHIPPED.name) as unfinished:
        fitted.save(unfinished)
    write_text(out / "clicks.csv", _curve(before, after))
    held = "images that the fit did not see" if fresh is others else "the images of the fit, since there are no others"
    typer.echo(f"Accuracy in % on {sum(len(fold.source) for fold in fresh)} images, {held}:")
    for name, values in (
        ("clicks", [f"{number}" for number in range(clicks + 1)]),
        ("before", [f"{100 * share:.2f}" for share in before.accuracy]),
        ("after", [f"{100 * share:.2f}" for share in after.accuracy]),
    ):
        typer.echo(f"  {name:6}" + "".join(f"{value:>7}" for value in values))
    typer.echo(f"The constants are in {out}: {fitted}")


def _curve(before: Cost, after: Cost) -> str:
    rows = enumerate(zip(before.accuracy, after.accuracy, strict=True))
    return "clicks,before,after\n" + "".join(f"{number},{old:.6f},{new:.6f}\n" for number, (old, new) in rows)


def _fold(text: str) -> tuple[str, str]:
    prefix, equals, name = text.partition("=")
    if not prefix or not equals or not name:
        raise ConfigError(f"--fold is '{text}': write PREFIX=SEGMENTER, as in 0001TP=runs/left-0001TP/model")
    return prefix, name
