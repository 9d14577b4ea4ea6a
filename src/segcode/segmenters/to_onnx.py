"""A segcode model and the edge network as one ONNX file, from which `from_export` refines without PyTorch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim

from segcode.batches import ImageBatch
from segcode.edges.network import load_edge_network
from segcode.field.grid import STRIDE
from segcode.files import replacing
from segcode.model.checkpoint import LoadedModel
from segcode.model.config import ModelConfig
from segcode.model.features import Pyramid
from segcode.model.linear_decoder import LinearDecoder
from segcode.segmenters.from_export import FORMAT, KEY, OUTPUTS, ExportConfig


class Exported(nn.Module):
    """What is written: initial prediction, b, edges and the factors A and Z of the code path, J = A Z."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        self.model, self.edges = loaded.model.cpu().eval(), load_edge_network()

    def forward(
        self,
        image: ImageBatch,
        edges: Float[Tensor, "1 3 _ _"],
        mirrored: Float[Tensor, "1 3 _ _"] | None = None,
        cells: Float[Tensor, "_ _"] | None = None,
    ) -> tuple[Tensor, ...]:
        """`OUTPUTS`; of `cells` the shape alone counts."""
        linear = self.model.linearise(image, mirrored, None if cells is None else (cells.shape[0], cells.shape[1]))
        of_pixels, of_code = code_factors(linear.decoder, linear.seen)
        return linear.base_logits, linear.b, of_pixels, of_code, *self.edges(edges)


def code_factors(
    decoder: LinearDecoder, seen: Pyramid
) -> tuple[Float[Tensor, "h w M R"], Float[Tensor, "rows columns R N"]]:
    """A and Z of one image: J at a pixel is A there times Z, resized bilinearly to the grid of A."""
    *coarse, (finest, last) = decoder.of_code.levels
    x = decoder.on_grid(torch.eye(decoder.grid.in_features))
    for stride, layer in coarse:
        x = layer(x, seen[stride])
    matrices = last.matrices(seen[finest][0].permute(1, 2, 0).flatten(0, 1))
    return matrices.unflatten(0, seen[finest].shape[2:]), x.permute(2, 3, 1, 0)


def write_onnx(loaded: LoadedModel, path: Path) -> None:
    """Write a model for images of any size.

    The exporter of PyTorch needs `onnx` and `onnxscript`, from the extra `onnx`.
    """
    config, classes = loaded.model.config, loaded.classes
    sees_prediction = config.code_sees == "prediction"
    described = ExportConfig(
        config.size,
        classes,
        config.purpose,
        loaded.model.decoder.of_zero.finest,
        config.mirrored_view,
        config.code_cells if sees_prediction else None,
    )
    dynamic: dict[str, Any] = {
        "image": {2: Dim.DYNAMIC, 3: Dim.DYNAMIC},
        "edges": {2: STRIDE * Dim("edge_rows"), 3: STRIDE * Dim("edge_columns")},
    }
    if config.mirrored_view:
        dynamic["mirrored"] = {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    if sees_prediction:
        dynamic["cells"] = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    inputs = {name: torch.zeros(_example(config, name, number)) for number, name in enumerate(dynamic)}
    program = torch.onnx.export(
        Exported(loaded).eval(),
        kwargs=inputs,
        input_names=list(inputs),
        output_names=OUTPUTS,
        dynamic_shapes=dynamic,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # as always with dynamo
    program.model.metadata_props[KEY] = json.dumps({"format": FORMAT, **asdict(described)})
    with replacing(path) as unfinished:
        program.save(unfinished, external_data=False)


def _example(config: ModelConfig, name: str, number: int) -> tuple[int, ...]:
    """Shape of an input that the graph is made with; where two maps are of one size there, they are so for ever."""
    sides = 32 * (config.code_grid[0] + 2 * number + 1), 32 * (config.code_grid[1] + 2 * number + 2)
    return sides if name == "cells" else (1, 3, *sides)
