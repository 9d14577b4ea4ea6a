"""A pinhole camera and its pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.errors import ConfigError


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal lengths and principal point in pixels, pixel centres at whole numbers.

    Raises:
        ConfigError: if a focal length is not positive.

    >>> camera = Camera(focal_x=100.0, focal_y=100.0, centre_x=79.5, centre_y=59.5)
    >>> camera.project(np.array([0.2, 0.1, 2.0]))
    array([89.5, 64.5])
    """

    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float

    def __post_init__(self) -> None:
        if not (self.focal_x > 0 and self.focal_y > 0):
            raise ConfigError(f"focal lengths are {self.focal_x} and {self.focal_y} pixels; both must be positive")

    def project(self, points: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 2"]:
        """Points in the camera's frame (metres, z > 0) to (x, y) in pixels: x = focal_x X / Z + centre_x."""
        x, y, z = np.moveaxis(points, -1, 0)
        return np.stack([self.focal_x * x / z + self.centre_x, self.focal_y * y / z + self.centre_y], axis=-1)


@dataclass(frozen=True)
class Pose:
    """A rigid transform from camera to world: x right, y down, z forward in the camera; metres.

    A point p of the camera's frame is at `rotation @ p + position` in the world.
    """

    rotation: Float[ndarray, "3 3"]
    position: Float[ndarray, " 3"]
