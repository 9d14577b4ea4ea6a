"""Silhouettes, painted once from discs, limbs and polygons: people, cyclists, cars, signs, tree crowns.

A sprite is a small picture of part numbers, row 0 at the top: 0 lets the scene behind it through, part k takes the
colour k - 1 of its surface's palette. Sizes are in metres, x to the right and y up from the sprite's lower left corner.
"""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, sin
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from segcode.streets.noise import CLOUD, GRAIN

Sprite: TypeAlias = UInt8[ndarray, "texel_rows texel_columns"]
Point: TypeAlias = tuple[float, float]


class _Canvas:
    """A sprite under the brush; later strokes cover earlier ones."""

    def __init__(self, width: float, height: float, texels_per_metre: float = 60.0) -> None:
        columns, rows = round(width * texels_per_metre), round(height * texels_per_metre)
        self.parts: Sprite = np.zeros((rows, columns), np.uint8)
        self._x = (np.arange(columns) + 0.5) / texels_per_metre
        self._y = (rows - np.arange(rows)[:, None] - 0.5) / texels_per_metre

    def limb(self, start: Point, end: Point, radius: float, part: int) -> None:
        (x0, y0), (x1, y1) = start, end
        dx, dy = x1 - x0, y1 - y0
        along = ((self._x - x0) * dx + (self._y - y0) * dy) / max(dx * dx + dy * dy, 1e-9)
        along = np.clip(along, 0, 1)
        distance = np.hypot(self._x - x0 - along * dx, self._y - y0 - along * dy)
        self.parts[distance <= radius] = part

    def disc(self, centre: Point, radius: float, part: int) -> None:
        self.limb(centre, centre, radius, part)

    def polygon(self, corners: list[Point], part: int) -> None:
        """Any simple polygon, by counting the edges to the right of each texel."""
        inside = np.zeros(self.parts.shape, bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y0 != y1:
                crosses = (self._y < y0) != (self._y < y1)
                inside ^= crosses & (self._x < x0 + (self._y - y0) * (x1 - x0) / (y1 - y0))
        self.parts[inside] = part

    def box(self, left: float, bottom: float, right: float, top: float, part: int) -> None:
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], part)


def _swing(joint: Point, length: float, angle: float) -> Point:
    """The far end of a limb that hangs from a joint, turned forward by an angle in radians."""
    return joint[0] + length * sin(angle), joint[1] - length * cos(angle)


PERSON_SIZE: Point = (0.9, 1.8)
PHASES = 6


@lru_cache
def person(phase: int) -> Sprite:
    """Somebody walking, seen from the side. Parts: trousers, shirt, skin, hair, shoes, bag."""
    canvas = _Canvas(*PERSON_SIZE)
    stride = 0.5 * sin(2 * pi * phase / PHASES)
    hip, shoulder = (0.45, 0.92), (0.45, 1.42)
    if phase % 3 == 0:
        canvas.limb((0.30, 0.95), (0.32, 1.15), 0.10, 6)
    for swing, bend in ((stride, -0.1), (-stride, -0.35)):
        knee = _swing(hip, 0.42, swing)
        foot = _swing(knee, 0.40, swing + bend)
        canvas.limb(hip, knee, 0.09, 1)
        canvas.limb(knee, foot, 0.065, 1)
        canvas.limb(foot, (foot[0] + 0.12, foot[1]), 0.05, 5)
    canvas.limb(hip, shoulder, 0.155, 2)
    for swing in (-stride, stride):
        elbow = _swing((shoulder[0], shoulder[1] + 0.04), 0.28, swing * 0.8)
        hand = _swing(elbow, 0.25, swing * 0.8 + 0.3)
        canvas.limb((shoulder[0], shoulder[1] + 0.04), elbow, 0.06, 2)
        canvas.limb(elbow, hand, 0.045, 3)
    canvas.limb((0.46, 1.5), (0.46, 1.58), 0.06, 3)
    canvas.disc((0.45, 1.68), 0.115, 4)
    canvas.disc((0.475, 1.655), 0.095, 3)
    return canvas.parts


@lru_cache
def person_ahead(phase: int) -> Sprite:
    """Somebody seen from behind or before; the same parts as `person`."""
    canvas = _Canvas(*PERSON_SIZE)
    lift = 0.12 * abs(sin(2 * pi * phase / PHASES))
    for x, up in ((0.37, lift), (0.53, 0.0)):
        canvas.limb((x, 0.9), (x, 0.1 + up), 0.08, 1)
        canvas.limb((x - 0.02, 0.06 + up), (x + 0.02, 0.06 + up), 0.06, 5)
    canvas.polygon([(0.28, 0.88), (0.62, 0.88), (0.66, 1.45), (0.56, 1.53), (0.34, 1.53), (0.24, 1.45)], 2)
    for x, out in ((0.24, -0.05), (0.66, 0.05)):
        canvas.limb((x, 1.42), (x + out, 1.12), 0.06, 2)
        canvas.limb((x + out, 1.12), (x + out, 0.88), 0.045, 3)
    canvas.limb((0.45, 1.5), (0.45, 1.58), 0.06, 3)
    canvas.disc((0.45, 1.675), 0.115, 4 if phase % 2 else 3)
    canvas.limb((0.39, 1.735), (0.51, 1.735), 0.06, 4)
    return canvas.parts


CYCLIST_SIZE: Point = (1.8, 1.8)


@lru_cache
def cyclist(phase: int) -> Sprite:
    """A rider from the side. Parts: trousers, shirt, skin, helmet, tyres, frame."""
    canvas = _Canvas(*CYCLIST_SIZE)
    rear, front, crank = (0.36, 0.36), (1.42, 0.36), (0.82, 0.34)
    saddle, bar = (0.66, 0.98), (1.24, 1.05)
    for hub in (rear, front):
        canvas.disc(hub, 0.35, 5)
        canvas.disc(hub, 0.29, 0)
        for spoke in range(4):
            reach = (0.3 * cos(spoke * pi / 4), 0.3 * sin(spoke * pi / 4))
            canvas.limb((hub[0] - reach[0], hub[1] - reach[1]), (hub[0] + reach[0], hub[1] + reach[1]), 0.012, 6)
    for start, end in ((rear, crank), (crank, saddle), (crank, bar), (rear, saddle), (saddle, bar), (front, bar)):
        canvas.limb(start, end, 0.03, 6)
    turn = 2 * pi * phase / PHASES
    hip, shoulder = (0.68, 1.05), (0.98, 1.48)
    for angle in (turn, turn + pi):
        pedal = (crank[0] + 0.17 * cos(angle), crank[1] + 0.17 * sin(angle))
        knee = ((hip[0] + pedal[0]) / 2 + 0.2, (hip[1] + pedal[1]) / 2 + 0.08)
        canvas.limb(hip, knee, 0.085, 1)
        canvas.limb(knee, pedal, 0.06, 1)
    canvas.limb(hip, shoulder, 0.15, 2)
    canvas.limb(shoulder, (1.12, 1.2), 0.055, 2)
    canvas.limb((1.12, 1.2), bar, 0.045, 3)
    canvas.disc((1.08, 1.66), 0.11, 3)
    canvas.limb((1.03, 1.71), (1.1, 1.71), 0.09, 4)
    return canvas.parts


CYCLIST_AHEAD_SIZE: Point = (0.8, 1.8)


@lru_cache
def cyclist_ahead(phase: int) -> Sprite:
    """A rider from behind or before; the same parts as `cyclist`."""
    canvas = _Canvas(*CYCLIST_AHEAD_SIZE)
    canvas.limb((0.4, 0.06), (0.4, 0.7), 0.045, 5)
    canvas.limb((0.12, 1.04), (0.68, 1.04), 0.025, 6)
    lift = 0.16 * sin(2 * pi * phase / PHASES)
    for x, up in ((0.31, 0.3 + lift), (0.49, 0.3 - lift)):
        canvas.limb((x, 0.95), (x, up), 0.075, 1)
    canvas.polygon([(0.26, 0.9), (0.54, 0.9), (0.61, 1.42), (0.5, 1.5), (0.3, 1.5), (0.19, 1.42)], 2)
    for x in (0.2, 0.6):
        canvas.limb((x, 1.4), (0.4 + (x - 0.4) * 1.3, 1.08), 0.055, 2)
    canvas.disc((0.4, 1.62), 0.11, 3)
    canvas.limb((0.36, 1.68), (0.44, 1.68), 0.09, 4)
    return canvas.parts


CAR_WIDTH, CAR_LENGTH, CAR_BELT, CAR_ROOF = 1.8, 4.2, 0.95, 1.5
BOOT, BONNET, SCREEN = 0.15, 1.0, 0.75
"""Lengths of a car's lid behind the rear window, of its bonnet, and of its windscreen, seen from above."""


@lru_cache
def car_side() -> Sprite:
    """A hatchback that drives to the right. Parts: body, glass, tyre, metal, front lamp, rear lamp."""
    canvas = _Canvas(CAR_LENGTH, CAR_ROOF, 40.0)
    length, belt, roof = CAR_LENGTH, CAR_BELT, CAR_ROOF
    shoulder = length - BONNET
    canvas.polygon([(0.0, 0.3), (length, 0.3), (length, 0.75), (length - 0.1, 0.88), (shoulder, belt), (0.0, belt)], 1)
    canvas.polygon([(0.0, belt), (shoulder, belt), (shoulder - SCREEN, roof), (0.45, roof), (BOOT, belt)], 1)
    canvas.polygon([(0.4, belt), (shoulder - 0.12, belt), (shoulder - SCREEN - 0.02, roof - 0.1), (0.6, roof - 0.1)], 2)
    for pillar in (1.15, 2.0):
        canvas.box(pillar, belt, pillar + 0.08, roof, 1)
    canvas.box(0.0, 0.3, length, 0.36, 4)
    canvas.box(length - 0.3, 0.66, length, 0.78, 5)
    canvas.box(0.0, 0.7, 0.14, 0.9, 6)
    for hub in (0.78, length - 0.85):
        canvas.disc((hub, 0.34), 0.36, 3)
        canvas.disc((hub, 0.32), 0.2, 4)
    return canvas.parts


@lru_cache
def car_end(front: bool) -> Sprite:
    """A car's body below its windows, from ahead or behind; the same parts as `car_side`, and 7 the plate."""
    canvas = _Canvas(CAR_WIDTH, CAR_BELT, 60.0)
    canvas.box(0.06, 0.0, 0.3, 0.4, 3)
    canvas.box(CAR_WIDTH - 0.3, 0.0, CAR_WIDTH - 0.06, 0.4, 3)
    canvas.polygon(
        [(0.0, 0.3), (0.08, 0.2), (1.72, 0.2), (1.8, 0.3), (1.8, 0.85), (1.74, 0.95), (0.06, 0.95), (0.0, 0.85)], 1
    )
    canvas.box(0.02, 0.26, 1.78, 0.4, 3)
    if front:
        canvas.box(0.55, 0.44, 1.25, 0.62, 3)
    for lamp in (0.05, 1.43):
        canvas.box(lamp, 0.58 if front else 0.55, lamp + 0.32, 0.74 if front else 0.84, 5 if front else 6)
    canvas.box(0.64, 0.42, 1.16, 0.53, 7)
    return canvas.parts


@lru_cache
def car_window() -> Sprite:
    """A windscreen with its frame; the same parts as `car_side`."""
    canvas = _Canvas(CAR_WIDTH, 1.0, 40.0)
    canvas.polygon([(0.02, 0.0), (1.78, 0.0), (1.6, 1.0), (0.2, 1.0)], 1)
    canvas.polygon([(0.14, 0.06), (1.66, 0.06), (1.5, 0.88), (0.3, 0.88)], 2)
    return canvas.parts


SIGNS, ARROW = 4, 2
"""Kinds of traffic signs, and the one that shows an arrow."""


@lru_cache
def sign(kind: int) -> Sprite:
    """Four traffic signs, 1 m x 1 m. Parts: rim, face, symbol."""
    canvas = _Canvas(1.0, 1.0, 64.0)
    if kind == 0:
        canvas.disc((0.5, 0.5), 0.48, 1)
        canvas.disc((0.5, 0.5), 0.35, 2)
        canvas.box(0.44, 0.3, 0.56, 0.7, 3)
    elif kind == 1:
        canvas.polygon([(0.02, 0.06), (0.98, 0.06), (0.5, 0.94)], 1)
        canvas.polygon([(0.2, 0.17), (0.8, 0.17), (0.5, 0.72)], 2)
        canvas.box(0.46, 0.24, 0.54, 0.5, 3)
    elif kind == ARROW:
        canvas.box(0.0, 0.0, 1.0, 1.0, 2)
        canvas.box(0.05, 0.05, 0.95, 0.95, 1)
        canvas.polygon([(0.2, 0.35), (0.6, 0.35), (0.6, 0.2), (0.85, 0.5), (0.6, 0.8), (0.6, 0.65), (0.2, 0.65)], 2)
    else:
        canvas.disc((0.5, 0.5), 0.48, 1)
        canvas.box(0.18, 0.42, 0.82, 0.58, 2)
    return canvas.parts


@lru_cache
def traffic_light() -> Sprite:
    """Three lamps in a dark box. Parts: box, dark lamp, bright lamp."""
    canvas = _Canvas(0.4, 1.0, 60.0)
    canvas.box(0.0, 0.0, 0.4, 1.0, 1)
    for k, y in enumerate((0.18, 0.5, 0.82)):
        canvas.disc((0.2, y), 0.13, 3 if k == 2 else 2)
    return canvas.parts


@lru_cache
def gable() -> Sprite:
    """The triangle under a pitched roof, of one part."""
    canvas = _Canvas(1.0, 1.0, 64.0)
    canvas.polygon([(0.0, 0.0), (1.0, 0.0), (0.5, 1.0)], 1)
    return canvas.parts


@lru_cache
def rails() -> Sprite:
    """One bay of a railing: a post and three rails, of one part."""
    canvas = _Canvas(1.5, 1.1, 40.0)
    canvas.box(0.0, 0.0, 0.09, 1.1, 1)
    for height in (0.25, 0.6, 0.96):
        canvas.box(0.0, height, 1.5, height + 0.1, 1)
    return canvas.parts


CROWNS, LEAFY_CROWNS = 6, 4
"""Variants of `crown`, and how many of them are not conifers."""


@lru_cache
def crown(variant: int) -> Sprite:
    """The ragged outline of a tree's crown, of one part; the last variants are conifers."""
    across, down = np.meshgrid(np.linspace(-1, 1, 160), np.linspace(-1, 1, 160))
    window = np.s_[40 * variant : 40 * variant + 160, 30 * variant : 30 * variant + 160]
    ragged = 0.13 * CLOUD[window] + 0.05 * GRAIN[window]
    conifer = variant >= LEAFY_CROWNS
    reach = np.abs(across) / (0.12 + 0.40 * (down + 1)) if conifer else np.hypot(across, down * 0.96) * 1.15
    edge = np.maximum(np.abs(across), np.abs(down)) < 0.99
    return ((reach + ragged < 0.95) & edge).astype(np.uint8)
