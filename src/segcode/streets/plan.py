"""The choices that a whole scene shares: some of them show in the image, some only in the labels.

The hidden ones are the point of this data set. Whether the strip beside the carriageway is a parking lane or part of
the footway, or whether green walls are hedges or overgrown fences, hardly a pixel tells; but the answer is the same all
over the scene, so that a few pixels of truth decide the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np

from segcode.classes import CAMVID
from segcode.streets.surfaces import Colour

T = TypeVar("T")


class Label:
    """Train ids of the classes, by name."""

    sky, building, pole, road, sidewalk, tree, sign, fence, car, pedestrian, bicyclist = range(len(CAMVID))


class Draw:
    """Random choices from one generator."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._generator.random())

    def chance(self, share: float) -> bool:
        return float(self._generator.random()) < share

    def below(self, count: int) -> int:
        """One of 0..count-1."""
        return int(count * float(self._generator.random()))

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def near(self, colour: Colour, spread: float = 0.05) -> Colour:
        """A colour somewhat lighter or darker and of a slightly different hue."""
        lighter = self.between(1 - spread, 1 + spread)
        red, green, blue = (part * lighter * self.between(1 - spread / 3, 1 + spread / 3) for part in colour)
        return red, green, blue


class Paving(NamedTuple):
    """The pattern of GROUND, in metres; its palette: ground, kerbstones, joints, paint.

    u runs across the street from the surface's edge, v along it.
    """

    slab_u: float = 1.0
    slab_v: float = 1.0
    joint: float = 0.0  # strength of the joints, 0..1
    kerb: float = 0.0  # width of a kerbstone at u = 0
    centre: float = 0.0  # u of the centre line; 0 for none
    dash: float = 0.0  # period of its dashes; 0 for a solid line
    crosswalk: float = -9.0  # v where a zebra crossing begins
    stains: float = 0.04


class Windows(NamedTuple):
    """The pattern of FACADE, in metres; its palette: wall, trim, glass, ground floor, door."""

    storey: float = 3.0
    bay: float = 3.0
    width: float = 0.0  # of a window; 0 for a blind wall
    height: float = 1.5
    ground_floor: float = 3.5
    eaves: float = 10.0
    bricks: float = 0.0  # strength of the courses, 0..1
    shop: float = 0.0  # 1 where the ground floor is glazed


class Crown(NamedTuple):
    """The pattern of LEAVES, in metres; its palette: gaps, tips. All 0 for lawns and hedges."""

    width: float = 0.0
    height: float = 0.0
    sun: float = 0.0  # how far to the right the sun stands, -1..1


@dataclass(frozen=True)
class Ground:
    """One paving and its colours."""

    palette: tuple[Colour, ...]
    paving: Paving


@dataclass(frozen=True)
class Plan:
    """The measures and looks that one street has in common along its length and on both sides; metres.

    Attributes:
        half_road: from the axis to the edge of the carriageway.
        strip: width of the strip beside it; 0 for none.
        strip_label: road where it is a parking lane, else sidewalk. Hidden.
        footway: width of the rest of the sidewalk.
        kerb: height of the step up to the footway.
        road, path, verge: pavings of the carriageway, the footway and the strip.
        markings: whether lines are painted on the road.
        hedge_label: tree where green walls are hedges, fence where they are overgrown fences. Hidden.
        wall_label: building or fence, for low walls of masonry. Hidden.
        foliage: dark and light green of the season.
    """

    half_road: float
    strip: float
    strip_label: int
    footway: float
    kerb: float
    road: Ground
    path: Ground
    verge: Ground
    markings: bool
    hedge_label: int
    wall_label: int
    foliage: tuple[Colour, Colour]

    @property
    def kerb_at(self) -> float:
        """Metres from the axis to the step of the kerb."""
        return self.half_road + self.strip

    @property
    def frontage(self) -> float:
        """Metres from the axis to the building line."""
        return self.kerb_at + self.footway


_FOLIAGE: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((0.10, 0.19, 0.07), (0.40, 0.53, 0.22)),
    ((0.11, 0.22, 0.11), (0.33, 0.50, 0.27)),
    ((0.15, 0.20, 0.07), (0.53, 0.58, 0.26)),
    ((0.26, 0.15, 0.06), (0.74, 0.52, 0.22)),
)


_PAINT: Final[Colour] = (0.90, 0.90, 0.86)


def _lighter(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _asphalt(draw: Draw) -> Ground:
    grey = draw.between(0.38, 0.52)
    base = draw.near((grey, grey, grey * draw.between(0.97, 1.06)), 0.04)
    return Ground((base, _lighter(base, 1.12), _lighter(base, 0.6), _PAINT), Paving(stains=draw.between(0.02, 0.06)))


def _slabs(draw: Draw) -> Ground:
    base = draw.near(draw.pick(((0.62, 0.59, 0.54), (0.58, 0.58, 0.58), (0.64, 0.56, 0.50), (0.54, 0.52, 0.49))), 0.08)
    side = draw.pick((0.3, 0.5, 0.8))
    palette = base, _lighter(base, 1.12), _lighter(base, 0.62), _PAINT
    return Ground(palette, Paving(side, side * draw.pick((1.0, 1.5)), 0.8, stains=0.04))


def _pavings(draw: Draw) -> tuple[Ground, Ground]:
    """Carriageway and footway: mostly asphalt and slabs, but also both alike, or the other way round."""
    asphalt, slabs = _asphalt(draw), _slabs(draw)
    look = draw.between(0.0, 1.0)
    if look < 0.5:
        return asphalt, slabs
    if look < 0.75:
        return asphalt, Ground(tuple(draw.near(colour, 0.02) for colour in asphalt.palette), asphalt.paving)
    if look < 0.87:
        return slabs, slabs
    return slabs, asphalt


def draw_plan(draw: Draw) -> Plan:
    """Draw the choices of one scene."""
    road, path = _pavings(draw)
    alike = road.paving.joint == path.paving.joint
    strip = draw.between(2.1, 2.9) if draw.chance(0.5) else 0.0
    return Plan(
        half_road=draw.between(3.0, 4.6),
        strip=strip,
        strip_label=draw.pick((Label.road, Label.sidewalk)),
        footway=draw.between(1.8, 4.0),
        kerb=draw.between(0.02, 0.06) if alike else draw.between(0.06, 0.15),
        road=road,
        path=path,
        verge=draw.pick((path, _slabs(draw), road)),
        markings=road.paving.joint == 0 and draw.chance(0.75),
        hedge_label=draw.pick((Label.tree, Label.fence)),
        wall_label=draw.pick((Label.building, Label.fence)),
        foliage=draw.pick(_FOLIAGE),
    )
