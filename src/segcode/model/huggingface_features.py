"""Image to feature pyramid by a backbone of Hugging Face's transformers and a small decoder."""

from __future__ import annotations

import json
from typing import Any, Final

import torch
from torch import Tensor, nn

from segcode.batches import ImageBatch
from segcode.errors import CheckpointError, ConfigError, reason
from segcode.model.decoded_features import DecodedFeatures
from segcode.model.features import Pyramid

MEAN: Final = (0.485, 0.456, 0.406)
"""ImageNet's channel means; subtracted before dividing by `DEVIATION`."""
DEVIATION: Final = (0.229, 0.224, 0.225)
PROBE: Final = 224
"""Pixels along the side of the image that strides are found with."""


class HuggingFaceFeatures(DecodedFeatures):
    """A `Backbone` of the strides that an `AutoBackbone` has; of several maps of one stride the last is used.

    Args:
        config: of the backbone, as `backbone_config` reads it. Its weights are random until they are loaded.
        width: as in `DecodedFeatures`.

    Raises:
        ConfigError: if transformers is not installed, or has no backbone of this configuration.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: dict[str, Any], width: int) -> None:
        kind = _read(config)
        try:
            encoder = _transformers().AutoBackbone.from_config(kind).eval()
            with torch.no_grad():
                maps = encoder(torch.zeros(1, 3, PROBE, PROBE)).feature_maps
        except Exception as error:  # what transformers raises for impossible values is of no one kind
            raise _no_backbone(error) from None
        self.of_maps = [round(PROBE / each.shape[2]) for each in maps]
        channels = {stride: each.shape[1] for stride, each in zip(self.of_maps, maps, strict=True)}
        super().__init__(encoder, channels, width)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def encoded(self, image: ImageBatch) -> Pyramid:
        """Its photographs had mean 0 and deviation 1."""
        maps = self.encoder((image - self.mean) / self.deviation).feature_maps
        return dict(zip(self.of_maps, maps, strict=True))


def backbone_config(folder_or_name: str) -> dict[str, Any]:
    """The configuration of a backbone, with every stage among its outputs.

    Raises:
        ConfigError: if transformers is not installed.
        CheckpointError: if there is no such model.
    """
    try:
        config = _transformers().AutoConfig.from_pretrained(folder_or_name)
    except (OSError, ValueError) as error:
        raise _unread(folder_or_name, error) from None
    if not hasattr(config, "stage_names"):
        raise CheckpointError(f"'{folder_or_name}' is a {config.model_type}, which transformers has no backbone of")
    config.out_features = list(config.stage_names)
    found: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    return {key: value for key, value in found.items() if key not in ("dtype", "torch_dtype")}  # always 32 bits


def backbone_weights(folder_or_name: str) -> dict[str, Tensor]:
    """The weights of a backbone, from safetensors.

    Raises:
        CheckpointError: if there are none.
    """
    config = _read(backbone_config(folder_or_name))
    # The class itself: transformers 5.24's `AutoBackbone.from_pretrained` asks the hub whether a folder exists.
    kind = type(_transformers().AutoBackbone.from_config(config))
    try:
        model: nn.Module = kind.from_pretrained(folder_or_name, config=config, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise _unread(folder_or_name, error) from None
    return dict(model.state_dict())


def _read(config: dict[str, Any]) -> Any:
    if "model_type" not in config:
        raise ConfigError("model.huggingface lacks model_type: give the config.json of a backbone, or start from one")
    try:
        return _transformers().AutoConfig.for_model(**config)
    except Exception as error:  # likewise
        raise _no_backbone(error) from None


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise ConfigError("Hugging Face backbones need transformers: pip install 'segcode[hf]'") from None
    return transformers


def _no_backbone(error: Exception) -> ConfigError:
    return ConfigError(
        f"model.huggingface is no configuration of a backbone ({reason(error)}): give the config.json of one"
    )


def _unread(folder_or_name: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"no backbone could be read from '{folder_or_name}' ({reason(error)}): give a folder with config.json and "
        "model.safetensors, or the name of one on the Hugging Face hub, where this machine reaches it"
    )
