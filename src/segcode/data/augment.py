"""Random changes to training images, and to their labels with them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float
from kornia import augmentation
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from segcode.batches import Labels
from segcode.config import Count, NotNegative, Positive, Share
from segcode.errors import ConfigError
from segcode.tensors import IGNORE


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly training images are changed; 0 turns a change off, and so does a scale of 1 to 1.

    Attributes:
        flip: probability of a left-right mirror image. Never upside down: streets have their sky above.
        crop: rows and columns that are cut out of the image at random once it is enlarged; all of its size, if none.
        scale: the image is scaled by a factor from this range, whose logarithm is uniform. Where it gets smaller than
            what is cut out, what comes in around it is black and void.
        aspect: how far its aspect ratio may then differ from what it was, as a share.
        rotation: up to this many degrees, either way; the corners that come in are black and void.
        brightness: factor of 1 - brightness to 1 + brightness.
        contrast: likewise.
        saturation: likewise.
        hue: up to this share of the colour circle, either way.
        light: probability of another exposure (a gamma of 0.6 to 2), and that of shadows; half of it, that of bright
            tinted clouds. Shadows and clouds are fractals (Fournier et al. 1982).
    """

    flip: Share = 0.5
    crop: tuple[Count, Count] | None = None
    scale: tuple[Positive, Positive] = (1.0, 2.0)  # cars and people come in twice the sizes
    aspect: Share = 0.1
    rotation: NotNegative = 0.0  # cameras on cars do not roll
    brightness: Share = 0.3
    contrast: Share = 0.3
    saturation: Share = 0.3
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.03  # small: sky, vegetation and signs are distinguished by it
    light: Share = 0.0

    def __post_init__(self) -> None:
        if self.scale[0] > self.scale[1]:
            raise ConfigError(f"scale is {self.scale}: give the smaller factor first")

    def of_shape_alone(self) -> AugmentConfig:
        """The changes that suit a map of logits: no colours, and all of its size."""
        return replace(self, crop=None, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, light=0.0)


class Augmented(NamedTuple):
    """A changed batch: images (B, 3, H, W) in 0..1, labels (B, H, W), of the size of the crop."""

    images: Float[Tensor, "B C h w"]
    labels: Labels


class Augment(nn.Module):
    """Changes each image of a batch, and its labels with it, at random.

    Draws from PyTorch's global generator, so that `torch.manual_seed` makes it repeatable. kornia changes the colours.
    """

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config
        colours = (config.brightness, config.contrast, config.saturation, config.hue)
        changes: list[nn.Module] = [augmentation.ColorJitter(*colours, p=1.0)] if any(colours) else []
        if config.light:
            roughness = (0.2, 0.7)
            changes = [
                augmentation.RandomGamma((0.6, 2.0), p=config.light),
                *changes,
                augmentation.RandomPlasmaShadow(roughness, (-0.5, 0.0), (0.0, 1.0), p=config.light),
                augmentation.RandomPlasmaBrightness(roughness, (0.1, 0.4), p=config.light / 2),
            ]
        self.colour = nn.Sequential(*changes)

    def forward(self, images: Float[Tensor, "B C H W"], labels: Labels) -> Augmented:
        config = self.config
        if config.flip or config.rotation or config.aspect or config.scale != (1, 1) or config.crop:
            size = [*images.shape[:2], *(config.crop or images.shape[2:])]
            places = functional.affine_grid(self._places(images), size, align_corners=False)
            # Void is 0 while the labels are moved, for 0 is what comes in from outside the image.
            shifted = (labels - IGNORE).unsqueeze(1).to(images)
            shifted = functional.grid_sample(shifted, places, mode="nearest", align_corners=False)
            labels = shifted.round().squeeze(1).to(labels) + IGNORE
            images = functional.grid_sample(images, places, align_corners=False)
        return Augmented(self.colour(images), labels)

    def _places(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2 3"]:
        """The places in the old images of the pixels of the changed ones: affine maps of x and y in -1..1."""
        config, (height, width) = self.config, images.shape[2:]

        def uniform(count: int = 1) -> Float[Tensor, "B count"]:
            return torch.empty(len(images), count, device=images.device).uniform_(-1, 1)

        low, high = map(math.log, config.scale)
        ratio = math.log1p(config.aspect) / 2 * uniform()
        rows, columns = config.crop or (height, width)
        sides = torch.exp(torch.cat([ratio, -ratio], 1) - (low + high + (high - low) * uniform()) / 2)
        sides = sides * torch.tensor([columns / width, rows / height], device=images.device)
        centre = (1 - sides).abs() * uniform(2)  # all that is seen in the image, or all of the image seen
        sides[:, :1] *= torch.where(uniform() < 2 * config.flip - 1, -1, 1)
        angle = math.radians(config.rotation) * uniform()[:, 0]
        cos, sin = angle.cos(), angle.sin() * width / height
        turn = torch.stack([cos, -sin * (height / width) ** 2, sin, cos], 1).unflatten(1, (2, 2))
        return torch.cat([turn * sides[:, None], centre[:, :, None]], 2)
