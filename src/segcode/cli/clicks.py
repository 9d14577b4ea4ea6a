"""`segcode clicks`: click curves, of segcode and its rivals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcode.cli import measuring, options
from segcode.errors import ConfigError

if TYPE_CHECKING:
    from segcode.cli.measuring import Measured
    from segcode.evaluation.clicks import ClickConfig
    from segcode.evaluation.methods import Method

Truths = Annotated[
    list[str], options.repeated("--truth", "CLASS", "Label random pixels of this class, then an exhaustive mask.")
]
Amounts = Annotated[
    list[int],
    typer.Option(
        "--amount",
        metavar="PIXELS",
        min=1,
        help="Random pixels of a --truth. May be repeated.",
        default_factory=lambda: [1, 5, 20, 100, 500],
        show_default="1, 5, 20, 100, 500",
    ),
]


def clicks(
    measurement: measuring.Measurement,
    out: options.Out,
    truths: Truths,
    amounts: Amounts,
    rivals: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Measure these trained rivals of the model, too.", show_default=False),
    ] = None,
    tune_rivals: Annotated[
        bool,
        typer.Option(
            "--tune-rivals", help="Choose the constants of the --rivals on these images first, and keep them in FOLDER."
        ),
    ] = False,
    clicks: measuring.Clicks = 10,
    radius: measuring.ClickRadius = 3.0,
    jitter: measuring.Jitter = 2.0,
    seed: measuring.Seed = 0,
    block: options.Block = 1,
) -> None:
    """Measure how good the map gets with each click.

    A simulated annotator clicks in the middle of the largest wrong region and labels the pixels of its class in a small
    disk there, then looks at the new map, and so on. Each method gets clicks on its own errors. With --truth, random
    pixels of a class and an exhaustive mask of it are measured, too.

    Methods are pasting (labels change their own pixels alone), segcode, and the --rivals. Click efficiency is the
    accuracy gained, divided by what repairing exactly the largest wrong regions of the initial prediction would gain. A
    click is harmful if it lowers the accuracy of its image.

    OUT gets results.json for programs, the same rows as results.csv, tables.md and pictures. Labels are written into
    the maps of all methods. Scores come from one confusion matrix over all images, at the size of their labels; void
    pixels do not count.
    """
    from dataclasses import asdict

    from segcode.evaluation.clicks import ClickConfig, measure_clicks
    from segcode.evaluation.figures import click_curves, pixel_curves
    from segcode.evaluation.methods import Pasted, Refined
    from segcode.evaluation.tables import click_tables

    config = ClickConfig(clicks, radius, jitter, tuple(truths), tuple(amounts), seed, block)
    measured = measurement.measured()
    methods: list[Method] = [Pasted(), Refined()]
    if rivals is not None:
        methods += _rivals(rivals, measured, config, tune_rivals)
    results = measure_clicks(measured.refiner, measured.classes, measured.source, methods, config, measured.progress)
    tables = click_tables(results)
    figures = {"clicks": lambda: click_curves(results)} if clicks else {}
    if results.find(protocol="pixels"):
        figures["pixels"] = lambda: pixel_curves(results)
    measured.report(results, out, tables, figures, rivals=rivals, **asdict(config))
    for name in truths:
        if not results.find(truth=name, protocol="mask"):
            typer.echo(f"No image shows any '{name}'", err=True)


def _rivals(folder: Path, measured: Measured, config: ClickConfig, tuned: bool) -> list[Method]:
    from segcode.evaluation.baselines import dense_crf
    from segcode.evaluation.baselines.heads import load_heads
    from segcode.evaluation.baselines.rivals import load_constants, load_rivals, save_constants, tune
    from segcode.evaluation.clicks import final_accuracy

    if measured.model is None:
        raise ConfigError("--rivals use the features of a segcode model: give --model in place of --segmenter")
    if not dense_crf.is_installed():
        typer.echo("Without DenseCRF, which is not installed: pip install 'segcode[rivals]'", err=True)
    if tuned:
        chosen = tune(
            load_heads(folder, measured.model),
            load_constants(folder),
            lambda method: final_accuracy(measured.refiner, measured.classes, measured.source, method, config),
        )
        save_constants(folder, chosen)
        typer.echo(f"Constants of the rivals: {chosen}", err=True)
    return load_rivals(folder, measured.model)
