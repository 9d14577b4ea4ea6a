"""Loads the models, devices and refiners that the command line names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import typer

from segcode.cli import options
from segcode.errors import ConfigError

if TYPE_CHECKING:
    from segcode.classes import ClassSet
    from segcode.field.constants import FieldConstants
    from segcode.refinement.refiner import Refiner
    from segcode.sample import Source
    from segcode.segmenters.specification import OpenedSegmenter

PHOTOGRAPHS: Final = "camvid"
"""The model for photographs."""


class Loaded(NamedTuple):
    """A refiner and the classes that its indices mean."""

    refiner: Refiner
    classes: ClassSet


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The options that say which segmenter makes the initial predictions, and with which constants they are refined."""

    model: options.Model = ""
    segmenter: options.SegmenterName = ""
    classes: options.Classes = None
    numbers: options.Numbers = None
    confidence: options.Confidence = None
    constants: options.Constants = None
    device: options.Device = "auto"

    def name(self, otherwise: str = PHOTOGRAPHS) -> str:
        """The name of the segmenter. Raises ConfigError if both options are given, or none and there is no default."""
        if self.model and self.segmenter:
            raise ConfigError("--model and --segmenter: give one of them")
        return self.segmenter or require_model(self.model or otherwise)

    def identity(self) -> str:
        """The name of the segmenter, and when what is at its path was changed."""
        name = self.name()
        path = Path(name.partition(":")[2] or name)
        return f"{name} {path.stat().st_mtime_ns}" if path.exists() else name

    def open(self, data: ClassSet | None = None, otherwise: str = PHOTOGRAPHS) -> OpenedSegmenter:
        """The segmenter; a line says which it is and which images it is for, since on others its maps mean nothing.

        Args:
            data: classes of the images, if they are a data set.
            otherwise: the model if none is named; empty if one has to be.

        Raises:
            CheckpointError: if there is no such model, or it is damaged.
            ConfigError: if there is no such segmenter or device, or options contradict each other.
        """
        name = self.name(otherwise)
        opened = open_named(name, self.device, self.classes, self.numbers, self.confidence, data)
        kind = "Model" if opened.model is not None else "Segmenter"
        typer.echo(f"{kind} {name}, for {opened.purpose}")
        return opened

    def load_constants(self) -> FieldConstants:
        """The constants that are named, or the shipped ones. Raises CheckpointError if they are damaged."""
        from segcode.field.constants import SHIPPED, load_constants

        return load_constants(self.constants or SHIPPED)

    def refiner(self, data: ClassSet | None = None, otherwise: str = PHOTOGRAPHS) -> Loaded:
        """A refiner with the segmenter, as `open`."""
        from segcode.refinement.refiner import Refiner

        opened = self.open(data, otherwise)
        return Loaded(Refiner(opened.segmenter, self.load_constants()), opened.classes)


def open_named(
    name: str,
    device: options.DeviceName,
    classes: options.Classes = None,
    numbers: options.Numbers = None,
    confidence: options.Confidence = None,
    data: ClassSet | None = None,
) -> OpenedSegmenter:
    """The segmenter of a name; lines about its numbers go to stderr."""
    from segcode.segmenters.specification import open_segmenter

    found = choose_device(device)
    return open_segmenter(name, found, classes=classes, numbers=numbers, confidence=confidence, data=data)


def require_model(model: str) -> str:
    """The value of `--model`. Raises ConfigError that lists the shipped models if the option is not given."""
    from segcode.model.shipped import find_model, shipped_models

    if model:
        return model
    lines = [
        "no model is named: give --model MODEL (or --segmenter KIND:WHERE), the folder of a trained model or one of"
    ]
    for name in shipped_models():
        config = json.loads((find_model(name) / "config.json").read_text(encoding="utf-8"))
        lines.append(f"  {name}: {config['model']['purpose']}")
    raise ConfigError("\n".join(lines))


def choose_device(name: options.DeviceName) -> str:
    """PyTorch's name of a device. Raises ConfigError if a GPU is asked for that PyTorch does not see."""
    try:
        import torch
    except ModuleNotFoundError:  # ONNX Runtime does without it
        if name == "cuda":
            raise
        return "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: PyTorch sees no GPU: leave the option out, or check `nvidia-smi`, CUDA_VISIBLE_DEVICES "
            "and whether torch is installed with CUDA"
        )
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def print_notes(source: Source) -> None:
    """Print how many samples have files that can be read and are unusual, such as turned images, and the first."""
    from segcode.data.pairs import summary_of_notes

    if notes := summary_of_notes(source):
        typer.echo(notes, err=True)
