"""Networks that `segcode export-onnx` wrote, by ONNX Runtime; with them segcode refines without PyTorch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image as Pillow

from segcode.classes import ClassSet
from segcode.config import parse
from segcode.data.resize import as_many, resize_image, scaled
from segcode.edges.features import network_input
from segcode.errors import CheckpointError, ConfigError, DataError
from segcode.field.grid import Grid
from segcode.interpolation import neighbours, resize
from segcode.prediction import InitialPrediction
from segcode.tensors import Image, Pixels

KEY: Final = "segcode"
"""The entry of a graph's metadata that says what segcode has to know of it, in JSON."""

FORMAT: Final = 2
"""The version of the graph and of this entry."""

EDGES: Final = ("edges_16", "edges_24", "edges_40", "edges_3")
"""Outputs with the edge network's levels, by their channels."""

OUTPUTS: Final = ("base_logits", "b", "A", "Z", *EDGES)


@dataclass(frozen=True)
class ExportConfig:
    """What an exported graph does not say itself.

    Attributes:
        size: rows and columns of the training images; others are scaled to as many pixels.
        classes: of the logits.
        purpose: the images that the model is for, in words.
        stride: of the logits.
        mirrored_view: scale of the mirror image that the graph takes, too; 0 if it takes none.
        code_cells: that the code sees; None if it sees the image.
    """

    size: tuple[int, int]
    classes: ClassSet
    purpose: str
    stride: int
    mirrored_view: float
    code_cells: tuple[int, int] | None


@dataclass(frozen=True)
class FactoredCode:
    """A code path J = A Z, as a `CodePath`.

    Attributes:
        of_pixels: A, at each pixel of the grid of J.
        of_code: Z, on a coarser grid that is resized bilinearly.
    """

    of_pixels: Float[ndarray, "h w M R"]
    of_code: Float[ndarray, "rows columns R N"]

    @property
    def code_size(self) -> int:
        """N."""
        return self.of_code.shape[3]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the grid of J."""
        return self.of_pixels.shape[0], self.of_pixels.shape[1]

    def added(self, codes: Float[ndarray, "k N"]) -> Float[ndarray, "k M h w"]:
        """J c of codes (k, N): what they add to S0."""
        rows, columns, width, _ = self.of_code.shape
        coarse = (self.of_code @ np.asarray(codes, np.float32).T).reshape(rows, columns, -1).transpose(2, 0, 1)
        fine = resize(coarse, self.size).reshape(width, len(codes), *self.size)
        return np.ascontiguousarray((self.of_pixels @ fine.transpose(2, 3, 0, 1)).transpose(3, 2, 0, 1))

    def jacobian(self, pixels: Pixels) -> Float[ndarray, "n M N"]:
        """J at pixels: the derivative of each logit by each number of the code."""
        rows, columns, *_ = self.of_code.shape
        cells, shares = neighbours(pixels, self.size, (rows, columns))
        corners = self.of_code.reshape(rows * columns, *self.of_code.shape[2:])[cells]
        mixed = np.einsum("nk,nkrc->nrc", shares.astype(np.float32), corners)
        return self.of_pixels[pixels[:, 0], pixels[:, 1]] @ mixed


def is_export(session: Any) -> bool:
    """Whether `segcode export-onnx` wrote the network of a session of ONNX Runtime."""
    return KEY in session.get_modelmeta().custom_metadata_map


class ExportedSegmenter:
    """A segcode model that `segcode export-onnx` wrote.

    Attributes:
        config: what its file says of it.
    """

    def __init__(self, session: Any, path: Path) -> None:
        """Take a session of ONNX Runtime that `is_export`.

        Raises:
            CheckpointError: if the metadata is of a later format, or damaged.
        """
        self._session, self._path = session, path
        found = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
        if found.pop("format", None) != FORMAT:
            raise CheckpointError(f"{path} is of another format than {FORMAT}: export it again, or update segcode")
        try:
            self.config = parse(ExportConfig, found, str(path))
        except ConfigError as error:
            raise CheckpointError(f"{error}: export it again") from None

    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """The initial prediction of an RGB image (H, W, 3) of bytes, with its code path, b and edges."""
        inputs = self._inputs(image)
        try:
            found = dict(zip(OUTPUTS, self._session.run(OUTPUTS, inputs), strict=True))
        except Exception as error:  # onnxruntime's own, of no one kind
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{self._path} fails on {image.shape[0]} x {image.shape[1]} pixels ({reason})") from None
        return InitialPrediction(
            found["base_logits"],
            edges=tuple(found[name] for name in EDGES),
            code=FactoredCode(found["A"], found["Z"]),
            b=found["b"],
        )

    def _inputs(self, image: Image) -> dict[str, Float[ndarray, "..."]]:
        config, size = self.config, (image.shape[0], image.shape[1])
        rows, columns = as_many(size, config.size)
        pixels = resize_image(image, rows, columns).transpose(2, 0, 1).astype(np.float32) / 255
        inputs = {"image": pixels[None], "edges": network_input(image, Grid.over(size))}
        if config.mirrored_view:
            view = scaled((rows, columns), config.mirrored_view)
            inputs["mirrored"] = np.stack([_resized(channel[:, ::-1], view) for channel in pixels])[None]
        if config.code_cells is not None:
            logits = (-(-rows // config.stride), -(-columns // config.stride))
            inputs["cells"] = np.zeros(as_many(logits, config.code_cells), np.float32)
        return inputs


def _resized(channel: Float[ndarray, "h w"], size: tuple[int, int]) -> Float[ndarray, "_ _"]:
    """Bilinear and antialiased, as `resize_image`, but without rounding to bytes."""
    return np.asarray(Pillow.fromarray(channel).resize(size[::-1], Pillow.Resampling.BILINEAR))
