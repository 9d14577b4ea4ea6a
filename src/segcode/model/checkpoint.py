"""A trained model as a folder: model.safetensors, config.json and README.md (its card); no pickle.

The layout is that of a Hugging Face model repository.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from segcode.classes import ClassSet
from segcode.config import parse
from segcode.errors import CheckpointError, ConfigError
from segcode.files import replacing_folder
from segcode.model.config import ModelConfig
from segcode.model.segcode import SegCode
from segcode.model.shipped import find_model

_WEIGHTS, _CONFIG, _CARD = "model.safetensors", "config.json", "README.md"

_RETIRED = ("label_encoder.whole.weight", "label_encoder.whole.bias", "label_encoder.coverage")
"""Tensors that older files hold, those of the shipped models among them: a learnt belief that a class is told as a
whole, which a rule without learning beat."""


class Trained(NamedTuple):
    """A model in evaluation mode, and the classes that its indices mean."""

    model: SegCode
    classes: ClassSet


def save_model(folder: Path, model: SegCode, classes: ClassSet, card: str) -> None:
    """Write weights (half precision where they are floats), configuration and card.

    The folder appears whole or not at all. One that stood there is moved aside, to a hidden name beside it, and deleted
    once the new one is in its place.
    """
    weights = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    config = {"model": asdict(model.config), "classes": asdict(classes)}
    with replacing_folder(folder) as unfinished:
        save_file({k: v.cpu().contiguous() for k, v in weights.items()}, unfinished / _WEIGHTS)
        (unfinished / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (unfinished / _CARD).write_text(card, encoding="utf-8")


def load_model(name_or_folder: str | Path) -> Trained:
    """Read a folder that `save_model` wrote, or a model that comes with the package, such as "streets".

    Raises:
        CheckpointError: if there is none, or naming the file that is missing, damaged, or of another architecture.
    """
    folder = find_model(name_or_folder)
    for name in (_CONFIG, _WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}: give the folder that `segcode train` wrote under `model/`")
    try:
        tables = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        config = parse(ModelConfig, tables["model"], f"{folder / _CONFIG} [model]")
        classes = parse(ClassSet, tables["classes"], f"{folder / _CONFIG} [classes]")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, ConfigError) as error:
        raise CheckpointError(f"{folder / _CONFIG} is damaged ({error}): copy or export the model again") from None
    model = SegCode(config)
    try:
        weights = {k: v for k, v in load_file(folder / _WEIGHTS).items() if k not in _RETIRED}
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    except (SafetensorError, RuntimeError) as error:
        # PyTorch's first line only says that something is wrong.
        lines = (line.strip() for line in str(error).splitlines() if not line.startswith("Error(s) in loading"))
        reason = shorten(next(lines, type(error).__name__), 200)
        raise CheckpointError(f"{folder / _WEIGHTS} does not fit its config.json ({reason}): export it again") from None
    return Trained(model.eval(), classes)
