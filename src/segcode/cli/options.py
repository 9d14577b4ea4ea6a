"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from typer.models import OptionInfo

from segcode.cli.loading import DeviceName, require_model
from segcode.data.sources import Kind

ImagePath: TypeAlias = Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.", show_default=False)]
Images: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGES...", help="Image files, folders, or patterns such as 'run/**/*.png'.", show_default=False
    ),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="OUT", help="Folder for the results; made if needed.", show_default=False),
]
Model: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="Folder of a trained model, or the name of one that comes with segcode; required.",
        default_factory=str,
        callback=require_model,
        is_eager=True,
        show_default=False,
    ),
]
"""There is no default: a model for one kind of pictures gives a meaningless map of another kind."""
ModelForStreets: TypeAlias = Annotated[
    str, typer.Option("--model", metavar="MODEL", help="Folder of a trained model, or the name of a shipped one.")
]
Device: TypeAlias = Annotated[DeviceName, typer.Option(help="Where to compute; auto takes a GPU if there is one.")]
Root: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the data set; streets are drawn and need none.", show_default=False),
]
Data: TypeAlias = Annotated[Kind, typer.Option(help="Which data set.", show_default=False)]
Split: TypeAlias = Annotated[str, typer.Option(metavar="SPLIT", help="Which part of the data set.")]


def _names(help_: str) -> OptionInfo:
    return typer.Option(metavar="NAME", help=help_, default_factory=list, show_default=False)


Only: TypeAlias = Annotated[list[str], _names("Samples of this name, or whose name begins so. May be repeated.")]
LeaveOut: TypeAlias = Annotated[
    list[str], _names("Not the samples of this name, or whose name begins so. May be repeated.")
]


def _truths(option: str, metavar: str, help_: str) -> OptionInfo:
    return typer.Option(
        option, metavar=metavar, help=f"{help_} May be repeated.", default_factory=list, show_default=False
    )


Points: TypeAlias = Annotated[
    list[str], _truths("--point", "CLASS=X,Y", "One pixel is of a class; x to the right, y down, from 0.")
]
Strokes: TypeAlias = Annotated[
    list[str], _truths("--stroke", "CLASS=X,Y:X,Y:...", "The pixels under a brush along a line are of a class.")
]
Excluded: TypeAlias = Annotated[
    list[str], _truths("--not", "CLASS=X,Y:X,Y:...", "The pixels under a brush along a line are not of a class.")
]
Radius: TypeAlias = Annotated[float, typer.Option(min=0, help="Radius of the brush, in pixels.")]
Polygons: TypeAlias = Annotated[
    list[str], _truths("--polygon", "CLASS=X,Y:X,Y:X,Y:...", "The pixels inside a polygon are of a class.")
]
Boxes: TypeAlias = Annotated[
    list[str],
    _truths("--box", "CLASS=X0,Y0:X1,Y1", "All pixels of a box are of a class; X1,Y1 is beyond its last pixel."),
]
Masks: TypeAlias = Annotated[
    list[str], _truths("--truth", "CLASS=MASK.png", "The pixels of a mask that are not black are of a class.")
]
Soft: TypeAlias = Annotated[
    bool,
    typer.Option("--soft", help="Masks are probabilities: black 0, white 1.", show_default=False),
]
PartialLabels: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="LABELS.png",
        help="A one-channel image of class indices, 255 where unknown.",
        show_default=False,
    ),
]
Extents: TypeAlias = Annotated[
    list[str],
    _truths(
        "--extent",
        "CLASS=EXTENT",
        "What masks, labels, polygons and boxes of a class say of other pixels: part, outline or exhaustive.",
    ),
]
EXTENTS = """\b
What labelled pixels say of the others, by --extent:
  part        Nothing. Always so for points and strokes; default for masks and labels.
  outline     The region ends where they end. Default for polygons and boxes.
  exhaustive  There is no other pixel of the class in the image."""
"""The end of the help of the commands that take `--extent`."""

Block: TypeAlias = Annotated[
    int,
    typer.Option(
        min=1, help="Images of a run for the intervals, drawn together: neighbouring frames of a video err alike."
    ),
]
