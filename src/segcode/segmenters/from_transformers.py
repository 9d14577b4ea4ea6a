"""Semantic and universal segmentation models of Hugging Face's transformers."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from torch import Tensor

from segcode.errors import CheckpointError, ConfigError, DataError, SegcodeError, listed, reason
from segcode.numbers import Meaning, Numbers
from segcode.prediction import InitialPrediction
from segcode.resampling import resize
from segcode.tensors import Image, shape_text


class TransformersSegmenter:
    """A model with the image processor of its folder.

    Attributes:
        names: the names of the classes, from `id2label`.
    """

    def __init__(self, folder_or_name: str, device: str) -> None:
        """Load a model in single precision.

        Args:
            folder_or_name: as `from_pretrained` takes it; a name is looked for on the Hugging Face hub.
            device: the device to compute on.

        Raises:
            CheckpointError: if there is no such model, or no image processor beside it.
            ConfigError: if it is of another kind.
        """
        transformers: Any = import_module("transformers")
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        try:
            config = transformers.AutoConfig.from_pretrained(folder_or_name)
            kind = _kind(transformers, type(config), folder_or_name)
            self._oneformer = config.model_type == "oneformer"
            processors = transformers.AutoProcessor if self._oneformer else transformers.AutoImageProcessor
            self._processor = processors.from_pretrained(folder_or_name)
            model, info = kind.from_pretrained(folder_or_name, dtype=torch.float32, output_loading_info=True)
        except SegcodeError:
            raise
        except Exception as error:  # transformers raises errors of many kinds for missing and damaged files
            raise CheckpointError(
                f"no segmentation model could be read from '{folder_or_name}' ({reason(error)}): give a folder with "
                "config.json, model.safetensors and preprocessor_config.json, or a name on the Hugging Face hub, where "
                "this machine reaches it"
            ) from None
        if info["missing_keys"]:
            raise CheckpointError(
                f"{folder_or_name} lacks {len(info['missing_keys'])} weights of a {type(model).__name__}, first "
                f"{min(info['missing_keys'])}: give a model that was trained for segmentation"
            )
        if (numbers := sorted(config.id2label)) != list(range(len(numbers))):
            raise ConfigError(
                f"{folder_or_name}: id2label in config.json numbers the classes {listed(numbers)}: number them from 0 "
                f"to {len(numbers) - 1}, as the model's outputs are"
            )
        self._model = model.to(device).eval()
        self.names = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
        self.numbers = Numbers(self.names)
        self._device = device
        self._valid = lru_cache(8)(self._valid_part)

    @torch.inference_mode()
    def predict(self, image: Image, name: str | None = None) -> InitialPrediction:
        """Logits of a semantic model; log-probabilities of a universal one.

        These are the scores of `post_process_semantic_segmentation`, class scores times mask probabilities summed over
        the queries, divided by their sum over the classes.

        Raises:
            DataError: if the model gives neither.
        """
        size = (image.shape[0], image.shape[1])
        inputs = self._processed(image)
        offsets = inputs.pop("patch_offsets", None)
        try:
            outputs = self._model(**inputs.to(self._device))
        except (RuntimeError, TypeError, ValueError) as error:
            shape = shape_text(inputs["pixel_values"].shape)
            raise DataError(
                f"{type(self._model).__name__} fails on pixels {shape} ({reason(error)}): correct "
                "preprocessor_config.json"
            ) from None
        pixels = inputs["pixel_values"].shape[-2:]
        if "masks_queries_logits" in outputs:
            classes = outputs.class_queries_logits.softmax(-1)[..., :-1]
            masks = outputs.masks_queries_logits
            if offsets:  # windows along the longer side, whose scores are averaged
                scores = torch.einsum("bqc,bqhw->bchw", classes, resize(masks, tuple(pixels)).sigmoid())
                merged = self._processor.merge_image_patches(scores, offsets, [size], self._processor.size)
                return self._prediction(merged[0], "scores")
            scores = torch.einsum("qc,qhw->chw", classes[0], masks[0].sigmoid())
            return self._prediction(self._cut(scores, size, pixels), "scores")
        if "logits" in outputs and outputs.logits.ndim == 4:
            return self._prediction(self._cut(outputs.logits[0], size, pixels), "logits")
        raise DataError(
            f"{type(self._model).__name__} returns {', '.join(outputs)}: give a semantic or universal model"
        )

    def _prediction(self, output: Float[Tensor, "M h w"], meaning: Meaning) -> InitialPrediction:
        self.numbers.state(meaning, "the model")
        return InitialPrediction(self.numbers.logits(output, "the model's output"))

    def _processed(self, image: Image) -> Any:
        """The image as in the model's training, but never cropped, since a map covers all of the image."""
        task = {"task_inputs": ["semantic"]} if self._oneformer else {}
        processor = getattr(self._processor, "image_processor", self._processor)
        cropped = {"do_center_crop": False} if hasattr(processor, "do_center_crop") else {}
        return self._processor(images=Pillow.fromarray(image), return_tensors="pt", **task, **cropped)

    def _cut(
        self, maps: Float[Tensor, "M h w"], size: tuple[int, int], pixels: tuple[int, int]
    ) -> Float[Tensor, "M _ _"]:
        """The part of maps over the processed image that shows the image, without padding."""
        top, bottom, left, right = self._valid(size)
        if (top, bottom, left, right) == (0, pixels[0], 0, pixels[1]):
            return maps
        return resize(maps[None], tuple(pixels))[0, :, top:bottom, left:right]

    def _valid_part(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """First and last rows and columns of the processed image that depend on an image of this size."""
        black, white = (self._processed(np.full((*size, 3), value, np.uint8))["pixel_values"][0] for value in (0, 255))
        depends = (black != white).any(0)
        rows, columns = depends.any(1).nonzero(), depends.any(0).nonzero()
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _kind(transformers: Any, config: type, folder_or_name: str) -> Any:
    """The class that loads models of a configuration."""
    for kind, mapping in (
        (transformers.AutoModelForSemanticSegmentation, transformers.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING),
        (transformers.AutoModelForUniversalSegmentation, transformers.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING),
    ):
        if config in mapping:
            return kind
    raise ConfigError(
        f"{folder_or_name} is a {config.__name__.removesuffix('Config')}: give a semantic or universal segmentation "
        "model, such as SegFormer, UPerNet, Mask2Former, OneFormer or EoMT"
    )
