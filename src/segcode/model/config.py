"""The shape of a model: everything that its weights depend on, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from segcode.errors import ConfigError
from segcode.tensors import IGNORE


@dataclass(frozen=True)
class ModelConfig:
    """The architecture that `build_segcode` builds.

    Args:
        classes: M, the number of classes; training takes it from the data set.
        size: rows and columns of the training images; other images are scaled to as many pixels.
        backbone: the network that gives image features: the paper's U-Net; or EfficientNet-Lite0, or a backbone of
            Hugging Face's transformers, with a small decoder and logits at stride 2.
        huggingface: configuration of that backbone; a training takes it from `start`.
        width: channels of features at full resolution; they double at every halving of the resolution, up to stride 8
            with the other backbones.
        code_size: N, the length of the code.
        code_channels: R, channels of the decoder's code path.
        code_stride: stride at which the code path ends, counted from `code_cells` where the code sees the prediction. 2
            is the paper's decoder, one layer for each resolution; at 8 the path stays coarse and only the last layer, a
            product with full-resolution features, makes it sharp.
        base_stride: likewise of the path of the initial prediction.
        mirrored_view: test-time augmentation: the initial prediction is the mean of the probabilities of the image and
            of its mirror image at this scale; 0 for the image alone.
        least_luma: exposure: the network sees an image whose mean luma, 0..1, is below this brightened to about it, in
            training and after; 0 leaves all images as they are.
        code_grid: rows and columns of the grid that the code is laid out on, at every image size.
        conditioning: "product" gives the decoder x * g(f) beside x and f; "concatenation" only x and f, which
            makes the Jacobian the same for every image (an ablation).
        code_sees: what the code path, the label encoder and b are conditioned on: "image" is the paper's, the features
            of the backbone; "prediction" is the probabilities of the initial prediction, which mean the same in every
            town and of every segmenter.
        code_width: of the U-Net that reads the initial prediction, as `width`.
        code_cells: rows and columns that the initial prediction is scaled to for it; other aspect ratios get as many
            cells.
        encoder_mean: what gives the mean of the label encoder's code: "network" is the paper's; "gradient" takes two
            steps up the gradient of the labels' likelihood, each times a learnt matrix, which holds on other scenes.
        code_start: what the code does before training: "waves" adds smooth waves to each class's logit, "random" is
            PyTorch's random weights, as the paper has it.
        purpose: the images that the model is for, in words ("photographs of streets from a car, daylight"); it is saved
            with the weights and shown to users.
        trained_on: kinds of data sets that the weights have learnt from; a training fills it in.

    Raises:
        ConfigError: for a value that makes no network.
    """

    classes: int = 11
    size: tuple[int, int] = (144, 192)
    backbone: Literal["unet", "efficientnet_lite0", "huggingface"] = "unet"
    huggingface: dict[str, Any] = field(default_factory=dict)
    width: int = 16
    code_size: int = 128
    code_channels: int = 32
    code_stride: Literal[2, 4, 8, 16] = 8
    base_stride: Literal[2, 4, 8, 16] = 8
    mirrored_view: float = 0.0
    least_luma: float = 0.0
    code_grid: tuple[int, int] = (6, 8)
    conditioning: Literal["product", "concatenation"] = "product"
    code_sees: Literal["image", "prediction"] = "image"
    code_width: int = 8
    code_cells: tuple[int, int] = (90, 120)
    encoder_mean: Literal["network", "gradient"] = "network"
    code_start: Literal["waves", "random"] = "waves"
    purpose: str = "images like those that it was trained on"
    trained_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("width", "code_size", "code_channels", "code_width"):
            if not 1 <= getattr(self, name) < 2**31:
                raise ConfigError(f"{name} is {getattr(self, name)}: give an integer of at least 1, below 2^31")
        for name in ("size", "code_grid", "code_cells"):
            if min(getattr(self, name)) < 1 or math.prod(getattr(self, name)) >= 2**31:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}: give rows and columns of at least 1, below 2^31 cells"
                )
        if not 0 <= self.mirrored_view <= 4:
            raise ConfigError(f"mirrored_view is {self.mirrored_view}: give a scale of at most 4, or 0 for none")
        if not 0 <= self.least_luma < 1:
            raise ConfigError(f"least_luma is {self.least_luma}: give a mean luma below 1, or 0 to brighten no image")
        if not 2 <= self.classes <= IGNORE:
            raise ConfigError(f"classes is {self.classes}: a segmentation has 2 to {IGNORE}")
