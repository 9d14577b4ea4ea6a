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
from segcode.model.segcode import SegCode, build_segcode
from segcode.model.shipped import find_model

_WEIGHTS, _CONFIG, _CARD = "model.safetensors", "config.json", "README.md"


class LoadedModel(NamedTuple):
    """A model and its classes.

    Attributes:
        model: in evaluation mode.
        classes: the classes that its indices mean.
    """

    model: SegCode
    classes: ClassSet

    @property
    def purpose(self) -> str:
        """The images that it is for, in words."""
        return self.model.config.purpose


def save_model(folder: Path, loaded: LoadedModel, card: str) -> None:
    """Write weights (half precision where they are floats), configuration and card.

    The folder appears complete or not at all. One that stood there is moved aside, to a hidden name beside it, and
    deleted once the new one is in its place.
    """
    model, classes = loaded
    weights = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    config = {"model": asdict(model.config), "classes": asdict(classes)}
    with replacing_folder(folder) as unfinished:
        save_file({k: v.cpu().contiguous() for k, v in weights.items()}, unfinished / _WEIGHTS)
        (unfinished / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (unfinished / _CARD).write_text(card, encoding="utf-8")


def load_model(name_or_folder: str | Path) -> LoadedModel:
    """Read a folder that `save_model` wrote, or a model that comes with the package, such as "camvid".

    Raises:
        CheckpointError: if there is none, or naming the file that is missing, damaged, or of another architecture.
    """
    folder = find_model(name_or_folder)
    for name in (_CONFIG, _WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}: give the folder that `segcode train` wrote under `model/`")
    config, classes = _read_config(folder / _CONFIG)
    model = build_segcode(config)
    try:
        weights = load_file(folder / _WEIGHTS)
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    except (SafetensorError, RuntimeError) as error:
        # PyTorch's first line only says that something is wrong.
        lines = (line.strip() for line in str(error).splitlines() if not line.startswith("Error(s) in loading"))
        reason = shorten(next(lines, type(error).__name__), 200)
        raise CheckpointError(f"{folder / _WEIGHTS} does not fit its config.json ({reason}): export it again") from None
    return LoadedModel(model.eval(), classes)


def _read_config(path: Path) -> tuple[ModelConfig, ClassSet]:
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        config = parse(ModelConfig, tables["model"], f"{path} [model]")
        classes = parse(ClassSet, tables["classes"], f"{path} [classes]")
        return config, classes
    except KeyError as error:
        raise CheckpointError(f"{path} lacks {error}: train or export the model again with this version") from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy or export the model again") from None
