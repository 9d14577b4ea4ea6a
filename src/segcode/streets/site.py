"""Where a street is put up: places for surfaces, and the collection of those that stand."""

from __future__ import annotations

from math import hypot
from typing import NamedTuple

from segcode.streets.light import Light
from segcode.streets.plan import Draw, Label, Plan
from segcode.streets.sprites import Sprite
from segcode.streets.surfaces import Colour, Material, Surface, Vector


class Place(NamedTuple):
    """The parallelogram of a surface, see `Surface`; metres."""

    origin: Vector
    side: Vector
    rise: Vector


def upright(x: float, z: float, width: float, height: float, base: float = 0.0) -> Place:
    """A board that faces the camera, centred at x, its lower edge at height `base` above the road."""
    return Place((x - width / 2, -base, z), (width, 0.0, 0.0), (0.0, -height, 0.0))


def lengthwise(x: float, start: float, end: float, height: float, base: float = 0.0) -> Place:
    """A wall along the street."""
    return Place((x, -base, start), (0.0, 0.0, end - start), (0.0, -height, 0.0))


def flat(x: float, width: float, start: float, end: float, level: float = 0.0) -> Place:
    """A piece of ground that reaches from x by `width` to the right (to the left if negative)."""
    return Place((x, -level, start), (width, 0.0, 0.0), (0.0, 0.0, end - start))


class Site:
    """Collects the surfaces and shadows of one scene.

    The street's axis is x = 0 and it runs along z; in all that is put up, `side` is -1 on its left and 1 on its right.
    """

    def __init__(self, draw: Draw, plan: Plan, light: Light) -> None:
        self.draw, self.plan, self.light = draw, plan, light
        self.surfaces: list[Surface] = []
        self.shadows: list[Surface] = []

    def add(
        self,
        place: Place,
        label: int,
        material: Material,
        palette: tuple[Colour, ...],
        pattern: tuple[float, ...] = (),
        sprite: Sprite | None = None,
        repeat: int = 1,
    ) -> None:
        """Put up a surface; its texture starts at random."""
        phase = self.draw.between(0.0, 500.0)
        self.surfaces.append(Surface(*place, label, material, palette, pattern, sprite, repeat, phase))

    def paint(
        self, place: Place, label: int, palette: tuple[Colour, ...], sprite: Sprite | None = None, repeat: int = 1
    ) -> None:
        """Put up a surface of plain colours."""
        self.add(place, label, Material.PAINT, palette, sprite=sprite, repeat=repeat)

    def shade(self, place: Place, sprite: Sprite | None = None) -> None:
        """Darken a piece of the ground; its label does not matter."""
        self.shadows.append(Surface(*place, Label.road, Material.PAINT, (), sprite=sprite))

    def cast(self, x: float, z: float, width: float, low: float, high: float, sprite: Sprite | None = None) -> None:
        """The shadow on the ground of something that stands at (x, z) between two heights."""
        shadow_x, shadow_z = self.light.shadow
        reach = hypot(shadow_x, shadow_z)
        ahead_x, ahead_z = (shadow_x / reach, shadow_z / reach) if reach > 1e-6 else (0.0, 1.0)
        # under a clouded sky the shadow is the dark spot below the thing itself
        length = max(reach * (high - low), min(width, high - low))
        start = reach * (low + high) / 2 - length / 2
        corner = x + ahead_x * start - ahead_z * width / 2, 0.0, z + ahead_z * start + ahead_x * width / 2
        across, ahead = (ahead_z * width, 0.0, -ahead_x * width), (ahead_x * length, 0.0, ahead_z * length)
        self.shade(Place(corner, across, ahead), sprite)
