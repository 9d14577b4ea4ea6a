"""A trained model as a folder: model.safetensors, config.json and README.md (its card); no pickle.

config.json has a digest of itself and of the weights, so a folder is read as it was written or not at all. The layout
is that of a Hugging Face model repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import shorten
from typing import Any, Final, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from segcode.classes import ClassSet
from segcode.config import parse
from segcode.errors import CheckpointError, ConfigError
from segcode.files import replacing_folder
from segcode.model.config import ModelConfig
from segcode.model.segcode import SegCode, build_segcode
from segcode.model.shipped import find_model
from segcode.prediction import InitialPrediction
from segcode.stored import read_stored, write_stored
from segcode.tensors import Image

CONFIG = "config.json"
_WEIGHTS, _CARD = "model.safetensors", "README.md"
_MADE_BY = "`segcode train`"
_SCALE: Final = ".scale"
_LARGEST: Final = torch.iinfo(torch.int8).max

CARD: Final = """---
library_name: segcode
pipeline_tag: image-segmentation
---
# SegCode

A segmentation map that a few labelled pixels correct: `segcode annotate PHOTOS --model FOLDER`.

- For: {purpose}.
- Learnt from: {learnt_from}.
- Classes: {classes}.
"""
"""The model card of `save_pretrained`."""

T = TypeVar("T")


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

    @property
    def id2label(self) -> dict[int, str]:
        """The names of the classes, as Hugging Face's models have them."""
        return dict(enumerate(self.classes.names))

    @staticmethod
    def from_pretrained(name_or_folder: str | Path) -> LoadedModel:
        """As `load_model`, by Hugging Face's name."""
        return load_model(name_or_folder)

    def save_pretrained(self, folder: Path) -> None:
        """Write a folder that `from_pretrained` reads, with a short model card; errors as `save_model`."""
        config = self.model.config
        learnt_from = ", ".join(config.trained_on) or "nothing that is recorded"
        classes = ", ".join(self.classes.names)
        save_model(folder, self, CARD.format(purpose=config.purpose, learnt_from=learnt_from, classes=classes))

    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """As the model's."""
        return self.model.predict(image, name)


def save_model(folder: Path, loaded: LoadedModel, card: str) -> None:
    """Write weights, configuration and card.

    Matrices and kernels are kept in 8 bits with a scale for each output channel (Jacob et al. 2018), other floats in
    half precision.

    The folder appears complete or not at all. One that stood there is moved aside, to a hidden name beside it, and
    deleted once the new one is in its place.

    Raises:
        CheckpointError: if a weight is not finite, or not in half precision.
    """
    model, classes = loaded
    weights = _in_8_bits({k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()})
    id2label = {str(index): name for index, name in loaded.id2label.items()}  # as JSON has keys
    config = {"model": asdict(model.config), "classes": asdict(classes), "id2label": id2label}
    with replacing_folder(folder) as unfinished:
        save_weights(unfinished / _WEIGHTS, weights, config)
        (unfinished / _CARD).write_text(card, encoding="utf-8")


def load_model(name_or_folder: str | Path) -> LoadedModel:
    """Read a folder that `save_model` wrote, or a model that comes with the package, such as "camvid".

    Raises:
        CheckpointError: if there is none, or naming the file that is missing, damaged, of a later format, or of another
            architecture.
    """
    folder = find_model(name_or_folder)
    tables = read_config(folder, _WEIGHTS, _MADE_BY)
    config = section(folder, tables, "model", ModelConfig, _MADE_BY)
    classes = section(folder, tables, "classes", ClassSet, _MADE_BY)
    if config.classes != len(classes):
        raise CheckpointError(
            f"{folder / CONFIG} has {len(classes)} classes for a model of {config.classes}: export or train it again"
        )
    tensors = load_weights(folder / _WEIGHTS)
    try:
        with torch.device("meta"):  # shapes alone: what does not fit its file is never allocated
            fit(tensors, build_segcode(replace(config, code_start="random")), folder / _WEIGHTS)
        model = build_segcode(config)
    except (ConfigError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{folder / CONFIG} describes no model ({shorten(str(error), 200)}): train it") from None
    model.load_state_dict(tensors)
    return LoadedModel(model.eval(), classes)


def save_weights(path: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write tensors, and beside them their config.json, whose digest covers both.

    Raises:
        CheckpointError: if a tensor is not finite.
    """
    refuse_not_finite(weights, f"not saved to {path.parent}")
    path.write_bytes(save({k: v.cpu().contiguous() for k, v in weights.items()}))  # `save_file` hides it from others
    write_stored(path.with_name(CONFIG), config, path)


def read_config(folder: Path, weights: str, made_by: str) -> dict[str, Any]:
    """The tables of the config.json of a folder, which also has weights.

    Raises:
        CheckpointError: naming the file that is missing or damaged.
    """
    for name in (CONFIG, weights):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}: give the folder that {made_by} wrote")
    return read_stored(folder / CONFIG, made_by, folder / weights)


def section(folder: Path, tables: Mapping[str, Any], key: str, kind: type[T], made_by: str) -> T:
    """A table of a folder's config.json as a dataclass. Raises CheckpointError if it is missing, or is none."""
    path = folder / CONFIG
    if key not in tables:
        raise CheckpointError(f"{path} lacks '{key}': write it again with {made_by}")
    try:
        return parse(kind, tables[key], f"{path} [{key}]")
    except ConfigError as error:
        raise CheckpointError(f"{error}: write it again with {made_by}") from None


def load_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a file, floats in 32 bits. Raises CheckpointError if it is damaged or has some that are not finite."""
    try:
        tensors = _from_8_bits({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({shorten(str(error), 200)}): copy or train it again") from None
    refuse_not_finite(tensors, f"{path} is damaged: copy or train it again")
    return tensors


def _in_8_bits(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of two or more dimensions as integers, and their scales; what is not finite stays as it is."""
    written = dict(weights)
    for name, weight in weights.items():
        if weight.is_floating_point() and weight.dim() > 1 and torch.isfinite(weight).all():
            largest = weight.float().flatten(1).abs().amax(1)
            scale = (largest / _LARGEST).half().clamp(min=torch.finfo(torch.half).smallest_normal)
            integers = (weight.float() / _along_first(scale, weight)).round().clamp(-_LARGEST, _LARGEST)
            written |= {name: integers.to(torch.int8), name + _SCALE: scale}
    return written


def _from_8_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reverse: integers times their scales, floats in 32 bits; what has no scale stays as it is."""
    read = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8 and name + _SCALE in tensors:
            read[name] = tensor.float() * _along_first(read.pop(name + _SCALE), tensor)
    return read


def _along_first(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.float().view(-1, *[1] * (weight.dim() - 1))


def fit(tensors: Mapping[str, Tensor], module: nn.Module, path: Path, described: str = CONFIG) -> None:
    """Raises CheckpointError unless tensors have the names, shapes and kinds of numbers of a module's."""
    own = module.state_dict()
    if names := [*(own.keys() - tensors.keys()), *(tensors.keys() - own.keys())]:
        name = min(names)
        reason = f"{name} is {'missing' if name in own else 'unknown'}"
    else:
        differing = (
            f"{name} is {_described(tensors[name])} in place of {_described(value)}"
            for name, value in own.items()
            if _described(tensors[name]) != _described(value)
        )
        reason = next(differing, "")
    if reason:
        raise CheckpointError(f"{path} does not fit its {described} ({reason}): export or train it again")


def refuse_not_finite(tensors: Mapping[str, Tensor], reason: str) -> None:
    """Raises CheckpointError, naming the first tensor that has a NaN or an infinite number."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{name} has numbers that are not finite, {reason}")


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
