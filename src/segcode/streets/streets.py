"""The synthetic streets as a source of samples."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import Final

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

_SMALLEST: Final = 16


@dataclass(frozen=True)
class Streets:
    """Rendered street scenes with the classes of CamVid; a `segcode.sample.Source`.

    A sample depends on the seed, its index, `views` and the size, and on nothing else: any sample can be made at any
    time, in any thread. Depth is in metres along the optical axis, 1000 where there is sky. No pixel is void.

    Args:
        seed: of the whole source; another seed gives other scenes.
        height: of the images in pixels, at least 16.
        width: likewise.
        views: number of consecutive samples that show one scene from a camera that moves on.

    Raises:
        ConfigError: if a number is out of its range.
    """

    count: int
    seed: int = 0
    height: int = 240
    width: int = 320
    views: int = 1

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"count is {self.count}; a source has 0 or more samples")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; use a whole number from 0 up")
        if min(self.height, self.width) < _SMALLEST:
            raise ConfigError(
                f"streets of {self.height} x {self.width} show nothing: use {_SMALLEST} pixels or more a side"
            )
        if self.views < 1:
            raise ConfigError(f"views is {self.views}; use 1 or more a scene")

    @property
    def classes(self) -> ClassSet:
        return CAMVID

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._name(index) for index in range(self.count))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}: use 0 to {self.count - 1}")
        number, view = divmod(index, self.views)
        scene = build_scene(random_numbers(self.seed, number, 0))
        draw = Draw(random_numbers(self.seed, number, 1))
        camera = draw_camera(scene.plan, draw, view, self.height, self.width)
        taken = photograph(scene, camera, random_numbers(self.seed, number, 2 + view))
        return Sample(self._name(index), taken.image, taken.labels, taken.depth)

    def _name(self, index: int) -> str:
        number, view = divmod(index, self.views)
        return f"street_{number:06d}" + (f"_{view}" if self.views > 1 else "")


def render_street(seed: int, height: int = 240, width: int = 320, views: int = 1) -> tuple[Sample, ...]:
    """The views of one street; see `Streets`."""
    street = Streets(views, seed, height, width, views)
    return tuple(street[view] for view in range(views))


def random_numbers(seed: int, number: int, purpose: int) -> np.random.Generator:
    """Random numbers for one purpose in one scene: what one purpose draws does not shift the others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, number, purpose))))


def draw_camera(plan: Plan, draw: Draw, view: int, height: int, width: int) -> Camera:
    """A camera in the right lane or on the footway, which moves on by one to two metres a view."""
    focal = width * draw.between(0.75, 1.0)
    walks = draw.chance(0.2)
    x = plan.kerb_at + 0.4 * plan.footway if walks else plan.half_road * draw.between(0.1, 0.6)
    up = draw.between(1.45, 1.75) if walks else draw.between(1.3, 1.9)
    yaw = draw.between(-0.16, 0.10) - (0.12 if walks else 0.0)
    pitch = draw.between(-0.03, 0.09)
    step, turn = draw.between(1.0, 2.0), draw.between(-0.012, 0.012)
    position = np.array([x + step * view * sin(turn), -up, step * view])
    return Camera(focal, height, width, _look(yaw + turn * view, -pitch), position)


def _look(yaw: float, pitch: float) -> Float[ndarray, "3 3"]:
    """The rotation, camera to world, of a camera turned to the right by `yaw` and up by `pitch`, in radians."""
    turn = np.array([[cos(yaw), 0, sin(yaw)], [0, 1, 0], [-sin(yaw), 0, cos(yaw)]])
    tilt = np.array([[1, 0, 0], [0, cos(pitch), -sin(pitch)], [0, sin(pitch), cos(pitch)]])
    rotation: ndarray = np.sum(turn[:, :, None] * tilt[None], axis=1)
    return rotation
