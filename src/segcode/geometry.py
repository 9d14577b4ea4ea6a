"""A pinhole camera, rigid motion, and the warp by depth from one view into another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer, Real, Shaped
from numpy import ndarray

from segcode.errors import ConfigError, DataError
from segcode.tensors import DepthImage


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

    def unproject(self, pixels: Real[ndarray, "*n 2"], depth: Float[ndarray, "*n"]) -> Float[ndarray, "*n 3"]:
        """The inverse of `project`: (x, y) in pixels and depth along the optical axis in metres to points."""
        x, y = np.moveaxis(pixels, -1, 0)
        right, down = (x - self.centre_x) / self.focal_x, (y - self.centre_y) / self.focal_y
        return np.stack([right * depth, down * depth, depth], axis=-1)

    def scaled(self, factor: float) -> Camera:
        """The same camera for images resized by a factor.

        Pixel centres are at whole numbers, so it is the distance to the image's corner at (-0.5, -0.5) that scales.
        """
        return Camera(
            self.focal_x * factor,
            self.focal_y * factor,
            (self.centre_x + 0.5) * factor - 0.5,
            (self.centre_y + 0.5) * factor - 0.5,
        )


@dataclass(frozen=True)
class Pose:
    """A rigid transform from camera to world: x right, y down, z forward in the camera; metres."""

    rotation: Float[ndarray, "3 3"]
    position: Float[ndarray, " 3"]

    def to_world(self, points: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 3"]:
        """Points of the camera's frame in the world's: R p + position."""
        world: ndarray = points @ self.rotation.T + self.position
        return world

    def to_camera(self, points: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 3"]:
        """Points of the world's frame in the camera's: the inverse of `to_world`."""
        seen: ndarray = (points - self.position) @ self.rotation
        return seen


@dataclass(frozen=True)
class View:
    """What is known of the geometry of one image: depth along the optical axis in metres, camera, pose."""

    depth: DepthImage
    camera: Camera
    pose: Pose


@dataclass(frozen=True)
class Correspondence:
    """For each pixel of one view, the nearest pixel of another that shows the same point.

    Attributes:
        rows, columns: in the other view; 0 where not visible.
        visible: whether the point lies in the other view's image and nothing stands before it.
    """

    rows: Integer[ndarray, "H W"]
    columns: Integer[ndarray, "H W"]
    visible: Bool[ndarray, "H W"]


def correspond(view: View, other: View, tolerance: float = 0.03) -> Correspondence:
    """Follow each pixel of a view along its depth to the pixel of the other view that shows the same point.

    A point counts as visible if its depth in the other view differs from the depth image there by at most
    `tolerance` times that depth; further away it is hidden, or the two views disagree.
    """
    rows, columns = np.indices(view.depth.shape, dtype=np.float64)
    world = view.pose.to_world(view.camera.unproject(np.stack([columns, rows], axis=-1), view.depth))
    points = other.pose.to_camera(world)
    depth = points[..., 2]
    in_front = depth > 1e-6
    pixels = np.rint(other.camera.project(np.where(in_front[..., None], points, 1.0)))
    height, width = other.depth.shape
    inside = in_front & np.all((pixels >= 0) & (pixels < [width, height]), axis=-1)
    columns, rows = np.moveaxis(np.where(inside[..., None], pixels, 0).astype(np.intp), -1, 0)
    seen = other.depth[rows, columns]
    return Correspondence(rows, columns, inside & (np.abs(depth - seen) <= tolerance * seen))


def warp(
    values: Shaped[ndarray, "H W *rest"], source: View, target: View, fill: Any = 0, tolerance: float = 0.03
) -> Shaped[ndarray, "h w *rest"]:
    """Show an image, labels or any other values of the source view as the target view sees them.

    Each pixel of the target takes the value of the nearest pixel of the source that shows the same point, and `fill`
    where there is none (see `correspond`).

    Raises:
        DataError: if the values and the source's depth differ in size.
    """
    if values.shape[:2] != source.depth.shape:
        raise DataError(
            f"values are {values.shape[0]} x {values.shape[1]} and the depth of their view is "
            f"{source.depth.shape[0]} x {source.depth.shape[1]}: resize one of them"
        )
    match = correspond(target, source, tolerance)
    warped: ndarray = values[match.rows, match.columns]
    warped[~match.visible] = fill
    return warped
