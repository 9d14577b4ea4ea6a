"""Arguments and options that several commands share, alone or in groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints

import typer
from typer.models import OptionInfo

from segcode.data.sources import Kind

DeviceName = Literal["auto", "cpu", "cuda"]

ImagePath: TypeAlias = Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.", show_default=False)]
Images: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGES...", help="Image files, folders, or patterns such as 'run/**/*.png'.", show_default=False
    ),
]
Out: TypeAlias = Annotated[
    Path, typer.Option("--out", "-o", metavar="OUT", help="Folder for the results; made if needed.", show_default=False)
]
Model: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="Folder of a trained model, or the name of one that comes with segcode: camvid, the default where images "
        "are given, for photographs of streets; streets, for drawn ones. Its purpose is printed.",
        show_default=False,
    ),
]
SegmenterName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--segmenter",
        metavar="KIND:WHERE",
        help="In place of a model: transformers:FOLDER_OR_NAME, onnx:NET.onnx, arrays:DIR, labels:DIR or "
        "python:MODULE.NAME; docs/segmenters.md.",
        show_default=False,
    ),
]
SegmenterArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="SEGMENTER", help="KIND:WHERE as for --segmenter, or a model as for --model.", show_default=False
    ),
]
Classes: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="Classes of the segmenter: a class file, camvid or cityscapes; where it does not say them.",
        show_default=False,
    ),
]
ClassList: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Class file with names, colours, ids, keys and merged classes, which the page changes; if not given, "
        "WORK/classes.toml.",
        show_default=False,
    ),
]
Numbers: TypeAlias = Annotated[
    Literal["logits", "probabilities", "scores"] | None,
    typer.Option(help="What the segmenter's numbers mean; found out if not given.", show_default=False),
]
Confidence: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Of labels:DIR, the share of its pixels that are right; 0.95 if not given.",
        show_default=False,
    ),
]
Constants: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FITTED",
        help="Constants of the Gaussian model from `segcode fit`; the shipped ones if not given.",
        show_default=False,
    ),
]
Device: TypeAlias = Annotated[DeviceName, typer.Option(help="Where to compute; auto takes a GPU if there is one.")]
Root: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the data set; streets are drawn and need none.", show_default=False),
]
Resume: TypeAlias = Annotated[bool, typer.Option("--resume", help="Leave out images whose results are in OUT already.")]
Data: TypeAlias = Annotated[Kind, typer.Option(help="Which data set.", show_default=False)]
Split: TypeAlias = Annotated[str, typer.Option(metavar="SPLIT", help="Which part of the data set.")]


def optional_images(help_: str) -> Any:
    """Images that may be left out."""
    return typer.Argument(metavar="[IMAGES]...", help=help_, default_factory=list, show_default=False)


def repeated(option: str, metavar: str, help_: str) -> OptionInfo:
    """An option that may be repeated; no value by default."""
    return typer.Option(
        option, metavar=metavar, help=f"{help_} May be repeated.", default_factory=list, show_default=False
    )


Only: TypeAlias = Annotated[list[str], repeated("--only", "NAME", "Samples of this name, or whose name begins so.")]
LeaveOut: TypeAlias = Annotated[
    list[str], repeated("--leave-out", "NAME", "Not the samples of this name, or whose name begins so.")
]
Extents: TypeAlias = Annotated[
    list[str],
    repeated(
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


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer takes it: a parameter that is a dataclass stands as one option for each of its fields."""
    own = signature(command, eval_str=True).parameters
    groups: dict[str, Any] = {
        name: parameter.annotation for name, parameter in own.items() if is_dataclass(parameter.annotation)
    }

    @wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    options: list[Parameter] = []
    for name, parameter in own.items():
        options += _options_of(groups[name]) if name in groups else [parameter.replace(kind=Parameter.KEYWORD_ONLY)]
    run.__signature__ = signature(command).replace(parameters=options)  # type: ignore[attr-defined]
    return run


def _options_of(group: Any) -> list[Parameter]:
    kinds = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=kinds[field.name],
        )
        for field in fields(group)
    ]
