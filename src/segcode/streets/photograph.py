"""From a scene and a camera to a photograph: sun and shadows, sky, haze, and the camera's own faults."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from segcode.sample import Sample
from segcode.streets.light import Light
from segcode.streets.materials import SHADERS, Texels
from segcode.streets.noise import CLOUD, lookup
from segcode.streets.plan import Paving, Windows
from segcode.streets.scene import Scene
from segcode.streets.surfaces import Camera, Frame, Material, Projection, draw
from segcode.tensors import Image

_SLOTS: Final = 7  # colours of a palette, at most
_NUMBERS: Final = max(len(Paving()), len(Windows()))
_NOISE: Final = 4.0
"""The most that the sensor's noise adds or takes, in grey levels."""
_CELL: Final = 0.5
"""Metres along the street for which the height of the roofs is kept."""
_FIRST, _CELLS = -30.0, 900


def photograph(name: str, scene: Scene, camera: Camera, random: np.random.Generator) -> Sample:
    """Render a scene; `random` makes the sensor's noise and nothing else."""
    frame = draw(scene.surfaces, camera)
    tables = _Tables(scene, camera)
    ray = _world_rays(frame, camera)
    light = scene.light
    shade = _cast_shadows(scene, frame, tables, camera)
    lit = shade * _sunlit(scene, frame, ray, camera) * tables.facing.take(frame.surface)
    colour = _albedo(frame, tables, camera)
    colour *= colour
    colour *= _column(light.ambient) * (0.45 + 0.55 * shade) + _column(light.sun) * lit
    colour += (_column(light.horizon) - colour) * (1 - np.exp(-1 / (frame.inverse_depth * np.float32(light.sight))))
    is_sky = frame.surface == 0
    colour[:, is_sky] = _sky(light, ray[:, is_sky])
    return Sample(name, _expose(colour, light, random), tables.label.take(frame.surface), 1 / frame.inverse_depth)


class _Tables:
    """The properties that shading needs of each surface, as arrays over the surfaces' numbers."""

    def __init__(self, scene: Scene, camera: Camera) -> None:
        surfaces, count = scene.surfaces, len(scene.surfaces)
        self.label = np.array([s.label for s in surfaces], np.uint8)
        self.material = np.array([s.material for s in surfaces], np.uint8)
        self.phase = np.array([s.phase for s in surfaces], np.float32)
        self.palette = np.zeros((_SLOTS, 3, count), np.float32)
        self.pattern = np.zeros((_NUMBERS, count), np.float32)
        for k, surface in enumerate(surfaces):
            if surface.palette:
                self.palette[: len(surface.palette), :, k] = surface.palette
            self.pattern[: len(surface.pattern), k] = surface.pattern
        origin, side, rise = np.array([(s.origin, s.side, s.rise) for s in surfaces]).transpose(1, 2, 0)
        self.width, self.height = (np.sqrt(np.sum(edge**2, axis=0)).astype(np.float32) for edge in (side, rise))
        normal = np.cross(side, rise, axis=0)
        normal /= np.sqrt(np.sum(normal**2, axis=0)) + 1e-9
        self.flat = np.abs(normal[1]) > 0.9
        seen = np.sum(normal * (origin - camera.position[:, None]), axis=0)
        towards_sun = -np.sign(seen) * np.sum(normal * np.array(scene.light.to_sun)[:, None], axis=0)
        # sprites stand for round things: a part of each always faces the sun
        rounded = np.array([s.sprite is not None for s in surfaces])
        self.facing = np.where(rounded, 0.35 + 0.35 * towards_sun, np.maximum(towards_sun, 0)).astype(np.float32)


def _column(colour: tuple[float, float, float]) -> Float32[ndarray, "3 1 1"]:
    return np.array(colour, np.float32)[:, None, None]


def _world_rays(frame: Frame, camera: Camera) -> Float32[ndarray, "3 H W"]:
    """The directions of the pixels in the world, one metre ahead along the optical axis."""
    rotation = camera.rotation.astype(np.float32)
    x, y = frame.ray_x, frame.ray_y[:, None]
    return np.stack([rotation[k, 0] * x + (rotation[k, 1] * y + rotation[k, 2]) for k in range(3)])


def _albedo(frame: Frame, tables: _Tables, camera: Camera) -> Float32[ndarray, "3 H W"]:
    """The colours of all surfaces in even light, as displayed."""
    material = tables.material.take(frame.surface).ravel()
    colour = np.zeros((3, material.size), np.float32)
    for kind, shader in SHADERS.items():
        pixels = np.flatnonzero(material == kind)
        if pixels.size:
            for channel, values in zip(colour, shader(_texels(frame, tables, pixels, camera)), strict=True):
                channel[pixels] = values
    return colour.reshape(3, *frame.surface.shape)


def _texels(frame: Frame, tables: _Tables, pixels: ndarray, camera: Camera) -> Texels:
    """Invert the surfaces' homographies at some pixels (flat indices), with the derivatives by the pixel."""
    surface = frame.surface.ravel()[pixels]
    rows, columns = np.divmod(pixels, frame.surface.shape[1])
    x, y = frame.ray_x[columns], frame.ray_y[rows]
    a = frame.planes.reshape(-1, 9).T.take(surface, axis=1)
    depth = 1 / frame.inverse_depth.ravel()[pixels]
    s, t = (a[0] * x + a[1] * y + a[2]) * depth, (a[3] * x + a[4] * y + a[5]) * depth
    per_pixel = depth / np.float32(camera.focal)
    wide, high = tables.width.take(surface), tables.height.take(surface)
    du = (np.abs(a[0] - s * a[6]) + np.abs(a[1] - s * a[7])) * per_pixel * wide
    dv = (np.abs(a[3] - t * a[6]) + np.abs(a[4] - t * a[7])) * per_pixel * high
    smallest = np.float32(1e-4)
    return Texels(
        u=s * wide,
        v=t * high,
        du=np.maximum(du, smallest),
        dv=np.maximum(dv, smallest),
        phase=tables.phase.take(surface),
        part=frame.part.ravel()[pixels],
        surface=surface,
        palettes=tables.palette,
        pattern=tables.pattern.take(surface, axis=1),
    )


def _cast_shadows(scene: Scene, frame: Frame, tables: _Tables, camera: Camera) -> Float32[ndarray, "H W"]:
    """How much light the things that stand in the street leave to each pixel of the ground, 0..1."""
    shade = np.ones(frame.surface.shape, np.float32)
    projection = Projection(scene.shadows, camera)
    ground = tables.flat.take(frame.surface)
    for k in projection.front_to_back():
        box, seen = projection.box(k), projection.locate(k)
        # the footway is a step above the plane of the shadows, and its depth a little smaller
        on_ground = ground[box] & (seen.inverse > 0.8 * frame.inverse_depth[box])
        hit = np.nonzero(seen.inside & on_ground)
        depth = 1 / seen.inverse[hit]
        s, t = seen.s[hit] * depth, seen.t[hit] * depth
        sprite = scene.shadows[k].sprite
        if sprite is None:
            dark = np.minimum(1, 6 * np.minimum(np.minimum(s, 1 - s), np.minimum(t, 1 - t)))
        else:
            rows, columns = sprite.shape
            dark = sprite[((1 - t) * (rows - 1)).astype(int), (s * (columns - 1)).astype(int)] > 0
        shade[box][hit] *= 1 - 0.8 * dark
    return shade


def _sunlit(scene: Scene, frame: Frame, ray: ndarray, camera: Camera) -> Float32[ndarray, "H W"]:
    """1 where no building along the street hides the sun, 0 in their shadow."""
    to_x, to_y, to_z = scene.light.to_sun
    if abs(to_x) < 1e-3:
        return np.ones(frame.surface.shape, np.float32)
    side = 1 if to_x > 0 else -1
    x, y, z = (np.float32(camera.position[k]) + ray[k] / frame.inverse_depth for k in range(3))
    way = (side * scene.plan.frontage - x) / to_x
    cell = ((z + way * to_z - _FIRST) / _CELL).clip(0, _CELLS - 1).astype(np.intp)
    clearance = -(y + way * to_y) - _roofs(scene, side).take(cell)
    lit: ndarray = np.clip(clearance / 0.4 + 0.5, 0, 1)
    lit[way < 0.05] = 1
    return lit


def _roofs(scene: Scene, side: int) -> Float32[ndarray, " cells"]:
    """The height of the buildings along one side of the street, cell by cell."""
    heights = np.zeros(_CELLS, np.float32)
    for surface in scene.surfaces:
        if surface.material == Material.FACADE and surface.side[2] > 0 and surface.origin[0] * side > 0:
            start = round((surface.origin[2] - _FIRST) / _CELL)
            stop = start + round(surface.side[2] / _CELL)
            heights[start:stop] = np.maximum(heights[start:stop], -surface.rise[1])
    return heights


def _sky(light: Light, ray: Float32[ndarray, "3 n"]) -> Float32[ndarray, "3 n"]:
    """A gradient from the horizon up, clouds on a plane far above, and a glow around the sun."""
    ray = ray / np.sqrt(np.sum(ray**2, axis=0))
    horizon, zenith, sun, white = (
        np.array(colour, np.float32)[:, None] for colour in (light.horizon, light.zenith, light.sun, light.cloud)
    )
    up = np.maximum(-ray[1], 0.02)
    colour: ndarray = horizon + (zenith - horizon) * np.sqrt(np.minimum(up * 1.4, 1))
    across, along = ray[0] / (up + 0.1), ray[2] / (up + 0.1)
    puffs = lookup(CLOUD, across * 40 + 300 * light.sight, along * 40) * 0.25 + light.clouds
    colour += (white - colour) * (0.85 * np.clip(puffs * 1.6 - 0.4, 0, 1) * np.clip(up * 6, 0, 1))
    towards = sum(part * ray[k] for k, part in enumerate(light.to_sun))
    colour += sun * (0.35 * np.clip(towards, 0, 1) ** 24)
    return colour


def _expose(colour: Float32[ndarray, "3 H W"], light: Light, random: np.random.Generator) -> Image:
    """White balance, the lens' blur, the film's shoulder, noise, and 8 bits."""
    colour *= _column(light.balance)
    colour[:, 1:-1] += 0.18 * (colour[:, 2:] + colour[:, :-2] - 2 * colour[:, 1:-1])
    colour[:, :, 1:-1] += 0.18 * (colour[:, :, 2:] + colour[:, :, :-2] - 2 * colour[:, :, 1:-1])
    colour = np.maximum(colour, 0)
    display = np.sqrt(colour * (1 + 0.2 * colour) / (1 + 0.4 * colour))
    # bytes are the quickest random numbers, and the same on every machine
    noise = np.frombuffer(random.bytes(display.size), np.uint8).reshape(display.shape)
    display = display * 255 + noise * np.float32(_NOISE / 128) - np.float32(_NOISE)
    return np.ascontiguousarray(np.clip(display, 0, 255).astype(np.uint8).transpose(1, 2, 0))
