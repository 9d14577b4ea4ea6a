"""From what the command line names to a refiner that is ready."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple

from segcode.errors import ConfigError

if TYPE_CHECKING:
    from segcode.classes import ClassSet
    from segcode.refinement.config import RefinementConfig
    from segcode.refinement.refiner import Refiner


DeviceName = Literal["auto", "cpu", "cuda"]


class Loaded(NamedTuple):
    """A refiner and the classes that its indices mean."""

    refiner: Refiner
    classes: ClassSet


def require_model(model: str) -> str:
    """The value of `--model`. Raises ConfigError that lists the shipped models if the option is not given."""
    if model:
        return model
    raise ConfigError("no model is named: give --model MODEL, the folder of a trained model or one of\n" + _shipped())


def _shipped() -> str:
    """One line for each shipped model: its name, and the pictures it is for."""
    from segcode.model.shipped import find_model, shipped_models

    purposes = {
        name: json.loads((find_model(name) / "config.json").read_text(encoding="utf-8"))["model"]["purpose"]
        for name in shipped_models()
    }
    return "\n".join(f"  {name}: {purpose}" for name, purpose in purposes.items())


def choose_device(name: DeviceName) -> str:
    """PyTorch's name of a device. Raises ConfigError if a GPU is asked for that PyTorch does not see."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: PyTorch sees no GPU: leave the option out, or check `nvidia-smi`, CUDA_VISIBLE_DEVICES "
            "and whether torch is installed with CUDA"
        )
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def load_refiner(model: str, device: DeviceName, config: RefinementConfig | None = None) -> Loaded:
    """The model that `--model` names, on the device that `--device` names.

    Raises:
        CheckpointError: if there is no such model, or it is damaged.
        ConfigError: if there is no such device.
    """
    from segcode.model.checkpoint import load_model
    from segcode.refinement.refiner import Refiner

    trained = load_model(model)
    return Loaded(Refiner(trained.model, config, choose_device(device)), trained.classes)
