"""`segcode export-onnx`: a model for machines without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    Path, typer.Option("--out", "-o", metavar="NET.onnx", help="The file to write.", show_default=False, dir_okay=False)
]


def export_onnx(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a model, or a name such as camvid.", show_default=False)
    ],
    out: File,
) -> None:
    """Write a model of segcode as ONNX, for images of any size.

    The file has the initial prediction, the edges and the code path, and what `--segmenter onnx:NET.onnx` has to know
    of it. Refining with it needs ONNX Runtime and no PyTorch.
    """
    from segcode.model.checkpoint import load_model
    from segcode.segmenters.to_onnx import write_onnx

    loaded = load_model(model)
    write_onnx(loaded, out)
    typer.echo(f"{out} has the model {model}, for {loaded.purpose}")
