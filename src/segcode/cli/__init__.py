"""The command line `segcode`: one file a command.

Everything heavy is imported inside the commands, and help is plain text, because importing rich takes longer than
everything else that `--help` does.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Annotated, Final, NoReturn

import typer

from segcode.cli.annotate import annotate
from segcode.cli.batch import batch
from segcode.cli.calibration import calibration
from segcode.cli.check_segmenter import check_segmenter
from segcode.cli.clicks import clicks
from segcode.cli.data import app as data
from segcode.cli.demo import demo
from segcode.cli.evaluate import evaluate
from segcode.cli.export import export
from segcode.cli.export_job import export_job
from segcode.cli.export_onnx import export_onnx
from segcode.cli.extras import install_command
from segcode.cli.fit import fit
from segcode.cli.options import EXTENTS, with_groups
from segcode.cli.predict import predict
from segcode.cli.refine import refine
from segcode.cli.refine_folder import refine_folder
from segcode.cli.review import review
from segcode.cli.sample import sample
from segcode.cli.train import train
from segcode.cli.train_rivals import train_rivals
from segcode.errors import SegcodeError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


COMMANDS: Final[dict[Callable[..., None], tuple[str, ...]]] = {
    demo: ("demo",),
    train: ("train experiments/streets.toml -o runs/streets",),
    train_rivals: ("train-rivals MODEL --data camvid --root CAMVID --leave-out 0006R0 -o rivals",),
    check_segmenter: (
        "check-segmenter onnx:net.onnx 'photos/*.jpg' -o checked",
        "check-segmenter arrays:logits photos --classes camvid -o checked",
    ),
    predict: ("predict street.png --model camvid -o out", "predict 'run/**/*.png' --model MODEL -o out"),
    refine: (
        "refine street.png --stroke sidewalk=20,200:90,180 --point car=200,150 --model camvid -o out",
        "refine street.png --truth road=mask.png --extent road=exhaustive --model MODEL -o out",
    ),
    refine_folder: ("refine-folder images --labels partial --model MODEL -o out",),
    batch: (
        "batch 'run/**/*.png' --model MODEL -o out",
        "batch images --labels partial --segmenter onnx:net.onnx --address 10.0.0.1:6379 -o out --resume",
    ),
    annotate: ("annotate street_images --model camvid", "annotate photos --segmenter onnx:net.onnx"),
    review: ("review WORK", "review WORK --other WORK2 -o OUT", "review WORK --honeypots DIR"),
    sample: ("sample street.png -n 8 --point car=200,150 --model camvid -o out",),
    evaluate: ("evaluate --data camvid --root CAMVID --split val --model MODEL --truth road --truth sidewalk -o out",),
    clicks: (
        "clicks --data camvid --root CAMVID --split val --model camvid --clicks 10 -o out",
        "clicks --data folder --root DATA --segmenter python:my_module.logits -o out",
    ),
    fit: (
        "fit onnx:net.onnx --data folder --root DATA --split val -o fitted",
        "fit --data camvid --root CAMVID --fold 0006R0=runs/left-0006R0/model -o fitted",
    ),
    calibration: ("calibration --data streets --model streets --clicks 5 -o out",),
    export: (
        "export --data cityscapes --root Cityscapes --model MODEL -o results",
        "export 'leftImg8bit/val/*/*.png' --model MODEL -o results",
    ),
    export_job: (
        "export-job photos/annotations -o exported",
        "export-job work 'run/**/*.png' --only done --layout coco -o job.zip",
    ),
    export_onnx: ("export-onnx camvid -o camvid.onnx",),
}
"""Every command, with examples for the end of its help."""


def example(*commands: str, extents: bool = False) -> str:
    """The end of a command's help, in lines that are not wrapped, so that they can be copied."""
    return "\n\n".join([EXTENTS] * extents + [f"\b\nExample: segcode {command}" for command in commands])


for _command, _examples in COMMANDS.items():
    _epilog = example(*_examples, extents=_command in (refine, refine_folder, sample))
    app.command(epilog=_epilog)(with_groups(_command))
app.add_typer(data, name="data", help="Look at a data set before training on it, or draw one.")


def print_version(asked: bool) -> bool:
    """Print the version of the installed package and stop, if asked."""
    if asked:
        from importlib.metadata import version

        typer.echo(f"segcode {version('segcode')}")
        raise typer.Exit
    return asked


@app.callback(epilog=example("demo", "refine --help"))
def segcode(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Correct the segmentation map of an image with a few clicks or strokes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with an exit code.

    It is 0 if all went well, 1 if `data check` found problems or the machine refused something, 2 if what was asked is
    impossible or needs an extra that is not installed, 130 after Ctrl-C and, where a training ends, 143 after SIGTERM.
    Anything else that goes wrong is a bug and shows where it is.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's matrices are small, and its threads slow PyTorch's
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    warnings.filterwarnings("ignore", module=r"PIL\.")  # an image is read, or refused in one line
    try:
        app(arguments)
    except SegcodeError as error:
        _stop(str(error), 2)
    except ModuleNotFoundError as error:
        cure = install_command(error.name)
        if cure is None:
            raise
        _stop(f"{error.name} is not installed, and this command needs it: {cure}", 2)
    except OSError as error:
        _stop(": ".join([error.filename or "the disk", error.strerror or str(error), *_cure(error)]), 1)


def _cure(error: OSError) -> list[str]:
    """The cure of an error of the disk; empty if none is known."""
    match error:
        case IsADirectoryError():
            return ["give a file, not a folder, or move the folder away"]
        case NotADirectoryError() | FileExistsError():
            return ["a file is where a folder should be: move it away, or choose another place"]
        case PermissionError() | OSError(errno=errno.EROFS):
            return ["change its permissions, or choose a place that is open to you"]
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return ["free some space, or choose another disk"]
        case _:
            return []


def _stop(message: str, code: int) -> NoReturn:
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    raise SystemExit(code)
