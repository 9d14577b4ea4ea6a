"""A scene as a list of flat surfaces, and which of them each pixel of a camera sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from numpy import ndarray

from segcode.streets.sprites import Sprite

Vector = tuple[float, float, float]
Colour = tuple[float, float, float]

SKY_DEPTH: Final = 1000.0
"""Depth of the sky in metres: further than anything else, and finite, so that it can be warped."""

_NEAR = 0.05
"""Surfaces are cut off so close to the camera, in metres."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal length in pixels, pixel centres at whole numbers, the principal point in the centre.

    x is right, y down, z forward; a point p of the camera's frame is at `rotation @ p + position` in the world, metres.
    """

    focal: float
    height: int
    width: int
    rotation: Float[ndarray, "3 3"]
    position: Float[ndarray, " 3"]

    def project(self, points: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 2"]:
        """Points in the camera's frame, z > 0, to (x, y) in pixels."""
        x, y, z = np.moveaxis(points, -1, 0)
        return np.stack(
            [self.focal * x / z + (self.width - 1) / 2, self.focal * y / z + (self.height - 1) / 2], axis=-1
        )

    def rays(self) -> tuple[Float32[ndarray, " W"], Float32[ndarray, " H"]]:
        """Right and down of the pixels' rays for one metre ahead, for the columns and for the rows."""
        x = (np.arange(self.width) - (self.width - 1) / 2) / self.focal
        y = (np.arange(self.height) - (self.height - 1) / 2) / self.focal
        return x.astype(np.float32), y.astype(np.float32)


class Material(IntEnum):
    """How a surface is painted; a shader each."""

    SKY = 0
    PAINT = 1
    GROUND = 2
    FACADE = 3
    LEAVES = 4
    BOARDS = 5


@dataclass(frozen=True)
class Surface:
    """The parallelogram origin + s side + t rise for s and t in 0..1, in metres of the world: x right, y down, z ahead.

    Attributes:
        label: train id of its class.
        palette: its colours, RGB in 0..1 as displayed; what each is for, the material's shader says.
        pattern: numbers of its material: the record that the material's shader reads.
        sprite: its outline and parts; None for the whole parallelogram.
        repeat: how often the sprite stands side by side.
        phase: shifts its texture, so that two surfaces of one material differ.
    """

    origin: Vector
    side: Vector
    rise: Vector
    label: int
    material: Material
    palette: tuple[Colour, ...]
    pattern: tuple[float, ...] = ()
    sprite: Sprite | None = field(default=None, repr=False)
    repeat: int = 1
    phase: float = 0.0


@dataclass(frozen=True)
class Frame:
    """A picture before shading: for each pixel the inverse depth, the surface's number, and the part of its sprite.

    Attributes:
        planes: for each surface the rows of its homography: (s/z, t/z, 1/z) = planes @ ray.
        ray_x, ray_y: the pixels' rays ((x - centre_x) / focal_x, (y - centre_y) / focal_y, 1).
    """

    inverse_depth: Float32[ndarray, "H W"]
    surface: Int[ndarray, "H W"]
    part: UInt8[ndarray, "H W"]
    planes: Float32[ndarray, "n 3 3"]
    ray_x: Float32[ndarray, W]
    ray_y: Float32[ndarray, H]


class Projection:
    """Surfaces as one camera sees them: their homographies, the boxes of the image that hold them, nearest depths.

    A pixel with ray r sees the point z r = o + s side + t rise, so (s/z, t/z, 1/z) is the inverse of the matrix
    [side rise o] times r: three numbers that are affine in the pixel, which makes drawing cheap.
    """

    def __init__(self, surfaces: Sequence[Surface], camera: Camera) -> None:
        edges = np.array([(s.origin, s.side, s.rise) for s in surfaces]).reshape(-1, 3, 3)
        edges[:, 0] -= camera.position
        # sums in a fixed order, where BLAS would choose its own on each machine
        edges = sum(edges[:, :, k, None] * camera.rotation[k] for k in range(3))
        origin, side, rise = np.moveaxis(edges, 1, 0)
        inverse = np.stack([np.cross(rise, origin), np.cross(origin, side), np.cross(side, rise)], axis=1)
        volume = np.sum(side * inverse[:, 0], axis=-1)
        edge_on = np.abs(volume) < 1e-9
        inverse /= np.where(edge_on, 1.0, volume)[:, None, None]
        self.planes = inverse.astype(np.float32)
        self.boxes = _boxes(origin, side, rise, camera)
        self.boxes[edge_on] = 0
        nearest = np.minimum(0, side[:, 2]) + np.minimum(0, rise[:, 2]) + origin[:, 2]
        self.nearest = np.maximum(nearest, _NEAR)
        self.ray_x, self.ray_y = camera.rays()
        self._across = self.planes[:, :, 0, None, None] * self.ray_x
        self._down = self.planes[:, :, 1, None, None] * self.ray_y[:, None] + self.planes[:, :, 2, None, None]

    def front_to_back(self) -> list[int]:
        """The surfaces that are in the image, by their nearest points."""
        top, bottom, left, right = self.boxes.T
        order = np.argsort(self.nearest, kind="stable")
        return [int(k) for k in order[((top < bottom) & (left < right))[order]]]

    def box(self, number: int) -> tuple[slice, slice]:
        """The rows and columns of the image that can show a surface."""
        top, bottom, left, right = self.boxes[number].tolist()
        return slice(top, bottom), slice(left, right)

    def locate(self, number: int) -> Located:
        """The points at which the rays of a surface's box meet its plane."""
        rows, columns = self.box(number)
        s, t, inverse = self._across[number, :, :, columns] + self._down[number, :, rows]
        # where the plane is behind the camera 1/z is negative, and no s fits between 0 and it
        return Located(s, t, inverse, (np.minimum(s, t) >= 0) & (np.maximum(s, t) <= inverse))


@dataclass(frozen=True)
class Located:
    """The points where the rays of a box of pixels meet a plane: s/z, t/z and 1/z, and whether in the parallelogram."""

    s: Float32[ndarray, "h w"]
    t: Float32[ndarray, "h w"]
    inverse: Float32[ndarray, "h w"]
    inside: Bool[ndarray, "h w"]


def _boxes(origin: ndarray, side: ndarray, rise: ndarray, camera: Camera) -> ndarray:
    """For each surface (top, bottom, left, right) of the pixels that can show it, cut off at the near plane."""
    corners = np.stack([origin, origin + side, origin + side + rise, origin + rise], axis=1)
    following = np.roll(corners, -1, axis=1)
    ahead = corners[..., 2] >= _NEAR
    crosses = ahead != np.roll(ahead, -1, axis=1)
    step = following - corners
    share = (_NEAR - corners[..., 2]) / np.where(crosses, step[..., 2], 1.0)
    points = np.concatenate([corners, corners + share[..., None] * step], axis=1)
    valid = np.concatenate([ahead, crosses], axis=1)
    pixels = camera.project(np.where(valid[..., None], points, 1.0))
    low = np.where(valid[..., None], pixels, np.inf).min(axis=1)
    high = np.where(valid[..., None], pixels, -np.inf).max(axis=1)
    size = [camera.width, camera.height]
    low = np.ceil(np.clip(low, 0, size)).astype(np.intp)
    high = np.floor(np.clip(high, -1, np.subtract(size, 1))).astype(np.intp) + 1
    return np.stack([low[:, 1], high[:, 1], low[:, 0], high[:, 0]], axis=1)


def draw(surfaces: Sequence[Surface], camera: Camera) -> Frame:
    """Find for each pixel the nearest surface; surface 0 is the sky and needs no place."""
    projection = Projection(surfaces, camera)
    size = camera.height, camera.width
    inverse_depth = np.full(size, 1 / SKY_DEPTH, np.float32)
    number, part = np.zeros(size, np.uint16), np.zeros(size, np.uint8)
    for k in projection.front_to_back():
        box = projection.box(k)
        if inverse_depth[box].min() * projection.nearest[k] > 1:
            continue  # all of it is hidden: most of a street is
        seen = projection.locate(k)
        hit = seen.inside & (seen.inverse > inverse_depth[box])
        sprite = surfaces[k].sprite
        if sprite is not None:
            parts = _sprite_parts(sprite, surfaces[k].repeat, seen, hit)
            hit = parts > 0
            np.copyto(part[box], parts - 1, where=hit)
        np.copyto(inverse_depth[box], seen.inverse, where=hit)
        np.copyto(number[box], k, where=hit)
    return Frame(inverse_depth, number.astype(np.intp), part, projection.planes, projection.ray_x, projection.ray_y)


def _sprite_parts(sprite: Sprite, repeat: int, seen: Located, hit: ndarray) -> UInt8[ndarray, "h w"]:
    """The sprite's part at each pixel that is hit; 0 elsewhere."""
    height, width = sprite.shape
    depth = 1 / seen.inverse[hit]
    columns = (seen.s[hit] * depth * (repeat * width)).astype(np.intp) % width
    rows = height - 1 - np.minimum((seen.t[hit] * depth * height).astype(np.intp), height - 1)
    parts = np.zeros(hit.shape, np.uint8)
    parts[hit] = sprite[rows, columns]
    return parts
