"""Networks in ONNX files, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field

from segcode.config import Count, parse, read_toml
from segcode.data.resize import resize_image
from segcode.errors import CheckpointError, ConfigError, DataError, listed, reason
from segcode.numbers import Meaning, Numbers
from segcode.prediction import InitialPrediction
from segcode.tensors import Image, shape_text

_KINDS: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_EXAMPLE: Final = (
    'for instance white = 1, mean = [0.485, 0.456, 0.406], deviation = [0.229, 0.224, 0.225] and channels = "rgb"'
)
Channel = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class OnnxConfig:
    """The settings in NET.toml for NET.onnx. The first four are required, since a graph does not hold them.

    Args:
        white: the number that 255 becomes before the mean is subtracted: 1 or 255.
        mean: subtracted from each channel, in the order of `channels`.
        deviation: divides each channel, in the same order.
        channels: order of the channels.
        size: rows and columns that images are scaled to, or "dynamic" for their own; left out if the graph fixes it.
        multiple: rows and columns of a dynamic size are rounded to multiples of this.
        layout: order of the input's axes, if the graph does not show it.
        output: name of the output, if there are several.
        numbers: meaning of the output, to be checked; by default it is detected.
    """

    white: Literal[1, 255] | None = None
    mean: tuple[Channel, Channel, Channel] | None = None
    deviation: tuple[Channel, Channel, Channel] | None = None
    channels: Literal["rgb", "bgr"] | None = None
    size: tuple[Count, Count] | Literal["dynamic"] = "dynamic"
    multiple: Count = 32
    layout: Literal["nchw", "nhwc"] | None = None
    output: str | None = None
    numbers: Meaning | None = None


def open_onnx(path: Path) -> Any:
    """A session of ONNX Runtime on the CPU. Raises CheckpointError if the network cannot be loaded."""
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises errors of many kinds
        raise CheckpointError(f"{path} is no network that ONNX Runtime can load ({reason(error)})") from None


class OnnxSegmenter:
    """A network of one image, channels first or last."""

    def __init__(self, session: Any, path: Path, numbers: Numbers, report: Callable[[str], None]) -> None:
        """Take NET.onnx, opened, and read NET.toml.

        Args:
            session: of NET.onnx, from `open_onnx`.
            path: the path of NET.onnx.
            numbers: turns the output into logits; NET.toml may state its meaning.
            report: called with one line if the graph leaves the size open.

        Raises:
            ConfigError: if NET.toml lacks something, or contradicts the graph.
        """
        settings = path.with_suffix(".toml")
        self._path, self.numbers = path, numbers
        self._config = config = _read(settings, path)
        self._session = session
        self._input = _only_input(self._session.get_inputs(), path)
        shape = self._input.shape
        self._channels_last = _channels_last(shape, config, path, settings)
        self._size = _size(shape[1:3] if self._channels_last else shape[2:], config, settings)
        self._output = _output(self._session.get_outputs(), numbers.classes, config, path, settings)
        if self._kind is np.uint8 and (config.white, config.mean, config.deviation) != (255, (0,) * 3, (1,) * 3):
            raise ConfigError(
                f"{settings}: {path} takes bytes: give white = 255, mean = [0.0, 0.0, 0.0] and "
                "deviation = [1.0, 1.0, 1.0]"
            )
        if self._size is None:
            report(f"{path} takes images of any size: they are scaled to multiples of {config.multiple}")
        if config.numbers is not None:
            numbers.state(config.numbers, str(settings))

    @property
    def _kind(self) -> Any:
        return _KINDS[self._input.type]

    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """The output of the network. Raises DataError if it fails, or its output is wrong."""
        tensor = self._prepared(image)
        try:
            output = self._session.run([self._output], {self._input.name: tensor})[0]
        except Exception as error:  # likewise
            raise DataError(
                f"{self._path} fails on an input of {shape_text(tensor.shape)} ({reason(error)}): give size or another "
                f"multiple in {self._path.with_suffix('.toml')}"
            ) from None
        count = len(self.numbers.classes)
        if output.ndim == 4 and output.shape[3] == count and (output.shape[1] != count or self._channels_last):
            output = output.transpose(0, 3, 1, 2)
        rows, columns = tensor.shape[1:3] if self._channels_last else tensor.shape[2:]
        if output.ndim == 4 and rows != columns and output.shape[2] * rows == output.shape[3] * columns:
            raise DataError(
                f"{self._path} gives {shape_text(output.shape)} for {rows} rows and {columns} columns, so it exchanges "
                "them: export it with rows before columns"
            )
        return InitialPrediction(self.numbers.logits(output, f"the output '{self._output}' of {self._path}"))

    def _prepared(self, image: Image) -> Float[ndarray, "1 _ _ _"] | ndarray:
        config = self._config
        rows, columns = self._size or (_rounded(side, config.multiple) for side in image.shape[:2])
        pixels = image if image.shape[:2] == (rows, columns) else resize_image(image, rows, columns)
        if config.channels == "bgr":
            pixels = pixels[..., ::-1]
        if self._kind is not np.uint8:
            mean, deviation = (np.array(one, np.float32) for one in (config.mean, config.deviation))
            pixels = ((pixels * np.float32((config.white or 1) / 255) - mean) / deviation).astype(self._kind)
        return np.ascontiguousarray(pixels[None] if self._channels_last else pixels.transpose(2, 0, 1)[None])


def _read(settings: Path, path: Path) -> OnnxConfig:
    config = parse(OnnxConfig, read_toml(settings), str(settings)) if settings.exists() else OnnxConfig()
    missing = [key for key in ("white", "mean", "deviation", "channels") if getattr(config, key) is None]
    if missing:
        lacks = f"lacks {', '.join(missing)}" if settings.exists() else "is missing"
        raise ConfigError(f"{settings} {lacks}: write how the images of {path} are prepared, {_EXAMPLE}")
    mean, deviation = config.mean or (), config.deviation or ()
    if min(deviation) <= 0:
        raise ConfigError(f"{settings}: deviation is {list(deviation)}: give numbers above 0")
    for key, numbers in (("mean", mean), ("deviation", deviation)):
        if config.white == 1 and max(numbers) > 2:
            raise ConfigError(
                f"{settings}: {key} is {list(numbers)}, which is for 0..255: give white = 255, or divide by 255"
            )
        if config.white == 255 and 0 < max(numbers) <= 1 and (key == "mean" or max(numbers) < 1):
            raise ConfigError(
                f"{settings}: {key} is {list(numbers)}, which is for 0..1: give white = 1, or multiply by 255"
            )
    return config


def _only_input(inputs: list[Any], path: Path) -> Any:
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _KINDS:
        raise ConfigError(
            f"{path} has the inputs {_described(inputs)}: export it with one image, of float or uint8 in four axes"
        )
    if isinstance(inputs[0].shape[0], int) and inputs[0].shape[0] != 1:
        raise ConfigError(f"{path} takes {inputs[0].shape[0]} images at once: export it for one")
    return inputs[0]


def _channels_last(shape: list[Any], config: OnnxConfig, path: Path, settings: Path) -> bool:
    """Whether the three channels are the last axis of the input."""
    layouts = [name for name, axis in (("nchw", 1), ("nhwc", 3)) if shape[axis] == 3]
    possible = layouts or [name for name, axis in (("nchw", 1), ("nhwc", 3)) if not isinstance(shape[axis], int)]
    if config.layout is not None and config.layout not in possible:
        raise ConfigError(f"{settings}: layout is {config.layout}, but the input of {path} is {shape}")
    if config.layout is None and len(possible) != 1:
        raise ConfigError(f"{settings}: the input of {path} is {shape}: give layout, nchw or nhwc")
    return (config.layout or possible[0]) == "nhwc"


def _size(sides: list[Any], config: OnnxConfig, settings: Path) -> tuple[int, int] | None:
    """Rows and columns that every image is scaled to; None if each keeps its own."""
    stated = None if config.size == "dynamic" else config.size
    for given, fixed in zip(stated or sides, sides, strict=True):
        if isinstance(fixed, int) and given != fixed:
            raise ConfigError(f"{settings}: size is {list(stated or ())}, but the graph takes {sides}: leave it out")
    if stated is None and all(isinstance(side, int) for side in sides):
        return sides[0], sides[1]
    if stated is None and any(isinstance(side, int) for side in sides):
        raise ConfigError(f"{settings}: the graph takes {sides} (rows, columns): give size")
    return stated


def _output(outputs: list[Any], classes: tuple[str, ...], config: OnnxConfig, path: Path, settings: Path) -> str:
    described = _described(outputs)
    if config.output is not None and config.output not in [one.name for one in outputs]:
        raise ConfigError(f"{settings}: output is '{config.output}', but {path} has {described}")
    chosen = [one for one in outputs if config.output in (None, one.name)]
    maps = [one for one in chosen if one.type in ("tensor(float)", "tensor(float16)", "tensor(double)")]
    if not maps:
        raise ConfigError(
            f"{path} gives {described}, no logits or probabilities: export it without arg-max, or give its label maps "
            "as labels:DIR"
        )
    if len(maps) > 1:
        raise ConfigError(f"{settings}: {path} has several outputs, {described}: give output, the name of one")
    shape = maps[0].shape
    known = [side for side in (shape[1], shape[3]) if isinstance(side, int)] if len(shape) == 4 else []
    if len(shape) == 4 and len(known) == 2 and len(classes) not in known:
        raise ConfigError(f"{path} gives {described} for {len(classes)} classes ({listed(classes)}): name them all")
    return str(maps[0].name)


def _rounded(side: int, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple


def _described(ends: list[Any]) -> str:
    """Inputs or outputs of a graph by name, type and shape."""
    return listed([f"{end.name} {end.type} {end.shape}" for end in ends])
