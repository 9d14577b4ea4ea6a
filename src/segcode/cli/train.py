"""`segcode train`: an experiment file to a trained model."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from segcode.cli.loading import choose_device
from segcode.cli.options import Device, Root, repeated
from segcode.cli.progress import somebody_watches
from segcode.errors import ConfigError

TERMINATED: Final = 128 + signal.SIGTERM
"""The exit code after SIGTERM."""

Changes = Annotated[
    list[str],
    repeated(
        "--set",
        "KEY=VALUE",
        "Replace a value of the experiment, as in TOML: epochs=3, model.code_size=32, 'data.leave_out=[\"0001TP\"]'.",
    ),
]


def train(
    experiment: Annotated[
        Path,
        typer.Argument(metavar="EXPERIMENT.toml", help="Values that differ from the defaults.", show_default=False),
    ],
    changes: Changes,
    root: Root = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="OUT", help="A new folder; runs/NAME if not given.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training in OUT that was stopped.", show_default=False)
    ] = False,
    folds: Annotated[
        str | None,
        typer.Option(
            "--folds",
            metavar="sequence|K",
            help="For each sequence, or each of K parts, train a network without its images, and write that network's "
            "predictions of these to OUT/predictions: what data.predictions takes.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Train a model as an experiment file says.

    OUT gets model/, which --model of the other commands takes, and checkpoints/, logs/ and panels/ with pictures of
    each epoch. A stopped training that goes on with --resume gives the same model as one that ran through. Run
    `segcode data check` first: it finds in a minute the faults of files that would stop a training after hours.

    What corrects a network has to learn from its errors on images that it has not seen. So train in three steps: the
    network; the same experiment with --folds sequence, for out-of-fold predictions; then an experiment with
    data.predictions and start, which trains the code path on them.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    from segcode.training.experiment import read_experiment
    from segcode.training.run import train as run
    from segcode.training.run import train_folds

    plan = read_experiment(experiment, changes)
    if root is not None:
        plan = replace(plan, data=replace(plan.data, root=root))
    if device != "auto":
        choose_device(device)
        plan = replace(plan, hardware=replace(plan.hardware, accelerator="gpu" if device == "cuda" else "cpu"))
    out = out or Path("runs") / experiment.stem
    go_on = "The same command" if folds else "The same command with --resume"
    try:
        with _stopped_by_sigterm():
            if folds is not None and resume:
                raise ConfigError("folds go on where they were stopped by themselves: leave out --resume")
            if folds is not None:
                predictions = train_folds(plan, folds, out, somebody_watches())
                _say(f"The out-of-fold predictions are in {predictions}: give them as data.predictions")
                return
            model = run(plan, out, resume, somebody_watches())
    except MisconfigurationException as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{experiment}: this machine cannot do what [hardware] asks for: {reason}") from error
    except (KeyboardInterrupt, SystemExit) as stop:
        interrupted = isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)
        if not (interrupted or isinstance(stop, SIGTERMException) or stop.args == (TERMINATED,)):
            raise
        if folds is None and not (out / "checkpoints" / "last.ckpt").is_file():
            _say("Stopped before the first epoch was complete: the same command starts again", err=True)
        else:
            _say(f"Stopped. {go_on} goes on from the last epoch in {out}", err=True)
        if interrupted:  # Lightning leaves with 1 after Ctrl-C, as after a failure
            raise KeyboardInterrupt from stop
        raise SystemExit(TERMINATED) from stop
    _say(f"The model is in {model}: try `segcode predict IMAGE --model {model} -o OUT`")


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM leaves the block as Ctrl-C does; Lightning alone would wait for the end of a step, and leave with 0."""

    def stop(number: int, frame: object) -> NoReturn:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(message: str, err: bool = False) -> None:
    """Print once: Lightning runs the command again for each further device of a machine, with a LOCAL_RANK."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        typer.echo(message, err=err)
