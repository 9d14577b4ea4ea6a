"""A trained model as a folder: model.safetensors, config.json and README.md (its card); no pickle.

The layout is that of a Hugging Face model repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from segcode.classes import ClassSet
from segcode.config import parse
from segcode.errors import CheckpointError, ConfigError
from segcode.files import replacing_folder
from segcode.model.config import ModelConfig
from segcode.model.segcode import SegCode, build_segcode
from segcode.model.shipped import find_model

CONFIG = "config.json"
_WEIGHTS, _CARD = "model.safetensors", "README.md"


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
        (unfinished / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (unfinished / _CARD).write_text(card, encoding="utf-8")


def load_model(name_or_folder: str | Path) -> LoadedModel:
    """Read a folder that `save_model` wrote, or a model that comes with the package, such as "camvid".

    Raises:
        CheckpointError: if there is none, or naming the file that is missing, damaged, or of another architecture.
    """
    folder = find_model(name_or_folder)
    tables = read_config(folder, _WEIGHTS, "`segcode train` wrote under `model/`")
    with damaged(folder / CONFIG):
        config = parse(ModelConfig, tables["model"], f"{folder / CONFIG} [model]")
        classes = parse(ClassSet, tables["classes"], f"{folder / CONFIG} [classes]")
    model = build_segcode(config)
    fill(model, folder / _WEIGHTS)
    return LoadedModel(model.eval(), classes)


def read_config(folder: Path, weights: str, made_by: str) -> Any:
    """The tables of the config.json of a folder, which also has weights.

    Raises:
        CheckpointError: naming the file that is missing or damaged.
    """
    for name in (CONFIG, weights):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}: give the folder that {made_by}")
    with damaged(folder / CONFIG):
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """What goes wrong with the content of a file is a CheckpointError that names it."""
    try:
        yield
    except KeyError as error:
        raise CheckpointError(f"{path} lacks {error}: train or export the model again with this version") from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy or export the model again") from None


def fill(module: nn.Module, weights: Path) -> None:
    """Read weights into a module. Raises CheckpointError if they do not fit it."""
    try:
        tensors = load_file(weights)
        module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    except (SafetensorError, RuntimeError) as error:
        # PyTorch's first line only says that something is wrong.
        lines = (line.strip() for line in str(error).splitlines() if not line.startswith("Error(s) in loading"))
        reason = shorten(next(lines, type(error).__name__), 200)
        raise CheckpointError(f"{weights} does not fit its {CONFIG} ({reason}): export or train it again") from None
