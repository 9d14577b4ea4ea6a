"""The first stages of EfficientNet-Lite0, to stride 16 (Tan and Le 2019; the Lite variant of 2020 has no squeeze
and excitation and ReLU6 throughout). Batch norm is folded into the convolutions.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Stage(NamedTuple):
    """A run of inverted-residual blocks.

    Attributes:
        expansion: channels inside a block by those at its input.
        channels: at its output.
        blocks: how many.
        stride: of the first block.
        kernel: side of the depthwise convolution.
    """

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int


STAGES: Final = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
)
STEM: Final = 32


class Block(nn.Module):
    """Expand, filter each channel, project; added to the input where shapes allow."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = inputs * stage.expansion
        self.expand = nn.Conv2d(inputs, inner, 1) if stage.expansion > 1 else None
        self.depthwise = nn.Conv2d(inner, inner, stage.kernel, stride, stage.kernel // 2, groups=inner)
        self.project = nn.Conv2d(inner, stage.channels, 1)
        self.residual = inputs == stage.channels and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        projected = self.project(functional.relu6(self.depthwise(inner), inplace=True))
        return x + projected if self.residual else projected


class Backbone(nn.Module):
    """RGB to feature maps of strides 2, 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 3, 2, 1)
        inputs = STEM
        self.stages = nn.ModuleList()
        for stage in STAGES:
            blocks = []
            for number in range(stage.blocks):
                blocks.append(Block(inputs, stage, stage.stride if number == 0 else 1))
                inputs = stage.channels
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features of images in -1..1: 16, 24, 40 and 112 channels at strides 2, 4, 8 and 16."""
        x = functional.relu6(self.stem(image), inplace=True)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        two, four, eight, _, sixteen = maps
        return two, four, eight, sixteen
