"""One street, put up from the ground to the horizon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from segcode.streets.frontage import GLASS, WALLS, build_frontage, plant_tree
from segcode.streets.light import Light, draw_light
from segcode.streets.plan import Draw, Label, Plan, Windows, draw_plan
from segcode.streets.site import Place, Site, flat, lengthwise, upright
from segcode.streets.surfaces import Material, Surface
from segcode.streets.traffic import drive, furnish, park_cars

_WIDE: Final = 90.0
"""Half the width of the built world in metres."""
_BEHIND: Final = -10.0
"""Metres along the axis at which the street begins, behind the camera."""
_SKY: Final = Place((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@dataclass(frozen=True)
class Scene:
    """Everything that stands in one street; `shadows` lie on the ground and only darken it."""

    plan: Plan
    light: Light
    surfaces: tuple[Surface, ...]
    shadows: tuple[Surface, ...]


def build_scene(generator: np.random.Generator) -> Scene:
    """Draw a whole street. Its axis is x = 0, it runs along z, and cameras stand near z = 0 and look ahead."""
    draw = Draw(generator)
    site = Site(draw, draw_plan(draw), draw_light(draw))
    site.add(_SKY, Label.sky, Material.SKY, ())
    end = draw.between(70.0, 140.0)
    # a meadow is under everything else, and shows between the last houses and the sky
    site.add(flat(-4 * _WIDE, 8 * _WIDE, _BEHIND, 500.0, -0.03), Label.tree, Material.LEAVES, site.plan.foliage)
    for start, stop in _blocks(site, end):
        _carriageway(site, start, stop)
        for side in (-1, 1):
            _footway(site, side, start, stop)
            build_frontage(site, side, start + 2, stop - 2)
            furnish(site, side, start, stop)
            park_cars(site, side, start, stop)
    _horizon(site, end)
    drive(site, end)
    return Scene(site.plan, site.light, tuple(site.surfaces), tuple(site.shadows))


def _blocks(site: Site, end: float) -> Iterator[tuple[float, float]]:
    """Start and end of each block; between them, and after the last one, runs a side street."""
    start, stop = _BEHIND, site.draw.between(16.0, 60.0)
    while stop < end - 25:
        yield start, stop
        start = stop + site.draw.between(8.0, 12.0)
        _side_street(site, stop, start)
        stop = start + site.draw.between(30.0, 70.0)
    yield start, end
    _side_street(site, end, end + 9)


def _side_street(site: Site, start: float, stop: float) -> None:
    road = site.plan.road
    site.add(flat(-_WIDE, 2 * _WIDE, start, stop), Label.road, Material.GROUND, road.palette, road.paving)


def _carriageway(site: Site, start: float, stop: float) -> None:
    half, paving = site.plan.half_road, site.plan.road.paving
    if site.plan.markings:
        dash = site.draw.pick((0.0, 6.0, 9.0))
        crosswalk = stop - start - 4.5 if site.draw.chance(0.7) else -9.0
        paving = paving._replace(centre=half, dash=dash, crosswalk=crosswalk)
    site.add(flat(-half, 2 * half, start, stop), Label.road, Material.GROUND, site.plan.road.palette, paving)


def _footway(site: Site, side: int, start: float, stop: float) -> None:
    """The strip, if there is one, the step, and the footway, which reaches under the buildings."""
    plan, kerb_at = site.plan, site.plan.kerb_at
    if plan.strip:
        strip = flat(side * plan.half_road, side * plan.strip, start, stop)
        verge = plan.verge.paving._replace(kerb=0.12)
        site.add(strip, plan.strip_label, Material.GROUND, plan.verge.palette, verge)
    footway = flat(side * kerb_at, side * (_WIDE - kerb_at), start, stop, plan.kerb)
    path = plan.path.paving._replace(kerb=0.18)
    site.add(footway, Label.sidewalk, Material.GROUND, plan.path.palette, path)
    stone = (plan.path.palette[1],)
    site.paint(lengthwise(side * kerb_at, start, stop, plan.kerb), Label.sidewalk, stone)
    across = upright(side * (kerb_at + _WIDE) / 2, start, _WIDE - kerb_at, plan.kerb)
    site.paint(across, Label.sidewalk, stone)


def _horizon(site: Site, end: float) -> None:
    """Builds what closes the view: houses across the street's end, or a town far behind it."""
    draw = site.draw
    edge, z, widest = (_WIDE, end + 13, 18.0) if draw.chance(0.6) else (2 * _WIDE, end + 120, 40.0)
    x = -edge
    while x < edge:
        width = draw.between(widest / 2, widest)
        if draw.chance(0.3):
            plant_tree(site, x + width / 2, z - 2, draw.between(8.0, 14.0))
        wall = draw.near(draw.pick(WALLS), 0.1)
        windows = Windows(bay=width / 4, width=width / 9, eaves=12.0)
        front = upright(x + width / 2, z, width, draw.between(7.0, 15.0))
        site.add(front, Label.building, Material.FACADE, (wall, wall, GLASS, wall, wall), windows)
        x += width
