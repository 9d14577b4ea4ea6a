"""The synthetic streets as a source of samples."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.classes import CAMVID, ClassSet
from segcode.errors import ConfigError
from segcode.sample import Sample
from segcode.streets.photograph import photograph
from segcode.streets.plan import Draw, Plan
from segcode.streets.scene import build_scene
from segcode.streets.surfaces import Camera


@dataclass(frozen=True)
class Streets:
    """Rendered street scenes with the classes of CamVid; a `segcode.sample.Source`.

    A sample depends on the seed, its index and the size, and on nothing else: any sample can be made at any time, in
    any thread. Depth is in metres along the optical axis, 1000 where there is sky. No pixel is void.

    Args:
        seed: of the whole source; another seed gives other scenes.
        height: of the images in pixels, at least 16.
        width: likewise.

    Raises:
        ConfigError: if a number is out of its range.
    """

    count: int
    seed: int = 0
    height: int = 240
    width: int = 320

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"count is {self.count}; a source has 0 or more samples")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; use a whole number from 0 up")
        if min(self.height, self.width) < 16:
            raise ConfigError(f"streets of {self.height} x {self.width} show nothing: use 16 pixels or more a side")

    @property
    def classes(self) -> ClassSet:
        return CAMVID

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"street_{index:06d}" for index in range(self.count))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}: use 0 to {self.count - 1}")
        scene = build_scene(random_numbers(self.seed, index, 0))
        camera = draw_camera(scene.plan, Draw(random_numbers(self.seed, index, 1)), self.height, self.width)
        return photograph(self.names[index], scene, camera, random_numbers(self.seed, index, 2))


def random_numbers(seed: int, number: int, purpose: int) -> np.random.Generator:
    """Random numbers for one purpose in one scene: what one purpose draws does not shift the others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, number, purpose))))


def draw_camera(plan: Plan, draw: Draw, height: int, width: int) -> Camera:
    """A camera in the right lane or on the footway."""
    focal = width * draw.between(0.75, 1.0)
    walks = draw.chance(0.2)
    x = plan.kerb_at + 0.4 * plan.footway if walks else plan.half_road * draw.between(0.1, 0.6)
    up = draw.between(1.45, 1.75) if walks else draw.between(1.3, 1.9)
    yaw = draw.between(-0.16, 0.10) - (0.12 if walks else 0.0)
    pitch = draw.between(-0.03, 0.09)
    return Camera(focal, height, width, _look(yaw, -pitch), np.array([x, -up, 0.0]))


def _look(yaw: float, pitch: float) -> Float[ndarray, "3 3"]:
    """The rotation, camera to world, of a camera turned to the right by `yaw` and up by `pitch`, in radians."""
    turn = np.array([[cos(yaw), 0, sin(yaw)], [0, 1, 0], [-sin(yaw), 0, cos(yaw)]])
    tilt = np.array([[1, 0, 0], [0, cos(pitch), -sin(pitch)], [0, sin(pitch), cos(pitch)]])
    return np.sum(turn[:, :, None] * tilt[None], axis=1)
