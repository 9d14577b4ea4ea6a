"""Loads what the command line names: models, devices, refiners."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from segcode.errors import ConfigError

if TYPE_CHECKING:
    from segcode.classes import ClassSet
    from segcode.model.checkpoint import LoadedModel
    from segcode.refinement.refiner import Refiner
    from segcode.sample import Source


DeviceName = Literal["auto", "cpu", "cuda"]


class Loaded(NamedTuple):
    """A refiner and the classes that its indices mean."""

    refiner: Refiner
    classes: ClassSet


def require_model(model: str) -> str:
    """The value of `--model`. Raises ConfigError that lists the shipped models if the option is not given."""
    from segcode.model.shipped import find_model, shipped_models

    if model:
        return model
    lines = ["no model is named: give --model MODEL, the folder of a trained model or one of"]
    for name in shipped_models():
        config = json.loads((find_model(name) / "config.json").read_text(encoding="utf-8"))
        lines.append(f"  {name}: {config['model']['purpose']}")
    raise ConfigError("\n".join(lines))


def choose_device(name: DeviceName) -> str:
    """PyTorch's name of a device. Raises ConfigError if a GPU is asked for that PyTorch does not see."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: PyTorch sees no GPU: leave the option out, or check `nvidia-smi`, CUDA_VISIBLE_DEVICES "
            "and whether torch is installed with CUDA"
        )
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def load_refiner(model: str, device: DeviceName) -> Loaded:
    """The model that `--model` names, on the device that `--device` names; a line says which images it is for.

    Raises:
        CheckpointError: if there is no such model, or it is damaged.
        ConfigError: if there is no such device.
    """
    from segcode.model.checkpoint import load_model
    from segcode.refinement.refiner import Refiner

    trained, on = load_model(model), choose_device(device)
    print_purpose(model, trained)
    return Loaded(Refiner(trained.model, device=on), trained.classes)


def print_purpose(model: str, trained: LoadedModel) -> None:
    """Print which model is used and which images it is for, since on other images its maps mean nothing."""
    typer.echo(f"Model {model}, for {trained.purpose}")


def print_notes(source: Source) -> None:
    """Print how many samples have files that can be read and are unusual, such as turned images, and the first."""
    from segcode.data.pairs import summary_of_notes

    if notes := summary_of_notes(source):
        typer.echo(notes, err=True)
