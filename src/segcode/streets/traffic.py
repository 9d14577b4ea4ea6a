"""Objects that stand and move between the building lines: lamps, signs, cars, people, cyclists."""

from __future__ import annotations

from math import copysign
from typing import Final

from segcode.streets import sprites
from segcode.streets.frontage import GLASS, plant_tree
from segcode.streets.plan import Label
from segcode.streets.site import Place, Site, flat, upright
from segcode.streets.surfaces import Colour

_BODIES: Final[tuple[Colour, ...]] = (
    *((0.82, 0.82, 0.82), (0.13, 0.14, 0.16), (0.45, 0.47, 0.50), (0.62, 0.10, 0.10), (0.12, 0.22, 0.42)),
    *((0.28, 0.30, 0.33), (0.68, 0.66, 0.60), (0.20, 0.34, 0.30), (0.75, 0.55, 0.15)),
)
_CLOTHES: Final[tuple[Colour, ...]] = (
    *((0.18, 0.20, 0.28), (0.65, 0.18, 0.16), (0.20, 0.35, 0.55), (0.75, 0.72, 0.66), (0.15, 0.15, 0.15)),
    *((0.40, 0.34, 0.26), (0.25, 0.42, 0.30), (0.80, 0.62, 0.20), (0.50, 0.30, 0.45), (0.30, 0.32, 0.36)),
)
_SKINS: Final[tuple[Colour, ...]] = ((0.86, 0.68, 0.57), (0.72, 0.52, 0.40), (0.48, 0.33, 0.25))
_BLACK: Final[Colour] = (0.06, 0.06, 0.07)
_STEEL: Final[Colour] = (0.40, 0.42, 0.43)
_CAR_PARTS: Final[tuple[Colour, ...]] = (
    *(GLASS, _BLACK, (0.35, 0.36, 0.38)),
    *((0.90, 0.90, 0.84), (0.60, 0.08, 0.07), (0.80, 0.80, 0.75)),
)
_RED_RIM: Final[tuple[Colour, ...]] = ((0.78, 0.10, 0.10), (0.93, 0.92, 0.89), (0.10, 0.10, 0.10))
_BLUE: Final[tuple[Colour, ...]] = ((0.10, 0.28, 0.66), (0.92, 0.93, 0.94), (0.92, 0.93, 0.94))
_LAMPS: Final[tuple[Colour, ...]] = ((0.95, 0.15, 0.10), (0.95, 0.65, 0.10), (0.10, 0.85, 0.45))


def furnish(site: Site, side: int, start: float, stop: float) -> None:
    """Lamps, trees and signs along the kerb of a block, a traffic light at its end, people on the footway."""
    draw, plan = site.draw, site.plan
    at = side * (plan.kerb_at + 0.5)
    trees = 0.7 if plan.footway > 2.2 and draw.chance(0.4) else 0.0
    z = max(start + 3, 5.0) + draw.between(0.0, 10.0)
    while z < stop - 3:
        if draw.chance(trees):
            plant_tree(site, at, z, draw.between(4.5, 8.0))
        elif draw.chance(0.6):
            _lamp(site, at, z, side)
        else:
            _sign(site, at, z)
        z += draw.between(6.0, 13.0)
    if draw.chance(0.6):
        _traffic_light(site, at, stop - 1)
    for _ in range(draw.below(1 + round((stop - start) / 11))):
        x = side * draw.between(plan.kerb_at + 0.5, plan.frontage - 0.4)
        _person(site, x, draw.between(max(start, 5.0), stop), plan.kerb)


def park_cars(site: Site, side: int, start: float, stop: float) -> None:
    """Cars along the kerb. They stand on the strip whatever it is, and tell a little about it."""
    draw, plan = site.draw, site.plan
    if plan.strip:
        at, share = side * (plan.half_road + plan.strip / 2), 0.45 if plan.strip_label == Label.road else 0.2
    else:
        at, share = side * (plan.half_road - 1.1), 0.25 if plan.half_road > 3.6 else 0.0
    z = max(start, draw.between(0.0, 6.0)) + 6
    while z + sprites.CAR_LENGTH < stop - 6:
        if draw.chance(share):
            _car(site, at, z, oncoming=side < 0)
        z += draw.between(5.0, 7.5)


def drive(site: Site, end: float) -> None:
    """Cars and cyclists on the carriageway, and somebody who crosses it."""
    draw, half = site.draw, site.plan.half_road
    for side in (-1, 1):
        z = draw.between(9.0, 60.0)
        while z < end and draw.chance(0.7):
            _car(site, side * half * 0.45, z, oncoming=side < 0)
            z += draw.between(8.0, 45.0)
    for _ in range(draw.below(4)):
        _cyclist(site, draw.pick((-1, 1)) * (half - draw.between(0.3, 0.7)), draw.between(6.0, 45.0))
    if draw.chance(0.35):
        _person(site, draw.between(-half, half), draw.between(10.0, 35.0), 0.0)


def _lamp(site: Site, x: float, z: float, side: int) -> None:
    height = site.draw.between(4.5, 8.0)
    steel = (site.draw.near(_STEEL, 0.3),)
    site.paint(upright(x, z, 0.16, height), Label.pole, steel)
    site.paint(upright(x - side * 0.6, z, 1.3, 0.12, height), Label.pole, steel)
    site.paint(upright(x - side * 1.1, z - 0.01, 0.6, 0.18, height - 0.12), Label.pole, ((0.85, 0.84, 0.78),))
    site.cast(x, z, 0.2, 0.0, height)


def _sign(site: Site, x: float, z: float) -> None:
    kind = site.draw.below(sprites.SIGNS)
    height, size = site.draw.between(2.1, 2.7), site.draw.between(0.65, 0.95)
    site.paint(upright(x, z, 0.11, height), Label.pole, ((0.52, 0.53, 0.54),))
    palette = _BLUE if kind == sprites.ARROW else _RED_RIM
    site.paint(upright(x, z - 0.02, size, size, height), Label.sign, palette, sprites.sign(kind))
    site.cast(x, z, 0.15, 0.0, height + size)


def _traffic_light(site: Site, x: float, z: float) -> None:
    palette = _BLACK, (0.20, 0.20, 0.18), site.draw.pick(_LAMPS)
    site.paint(upright(x, z, 0.15, 2.6), Label.pole, (_STEEL,))
    site.paint(upright(x, z - 0.02, 0.44, 1.1, 2.4), Label.sign, palette, sprites.traffic_light())
    site.cast(x, z, 0.2, 0.0, 3.5)


def _car(site: Site, x: float, z: float, oncoming: bool) -> None:
    """A hatchback of the sprites' outline: the near end with its lid and window, the roof, the side to the axis."""
    draw = site.draw
    width, length, grow = sprites.CAR_WIDTH, sprites.CAR_LENGTH, draw.between(0.95, 1.15)
    belt, roof = sprites.CAR_BELT * grow, sprites.CAR_ROOF * grow
    lid, screen = (sprites.BONNET, sprites.SCREEN) if oncoming else (sprites.BOOT, 0.3)
    palette = draw.near(draw.pick(_BODIES), 0.1), *_CAR_PARTS
    left = x - width / 2
    flank = x - copysign(width / 2, x)
    window = Place((left, -belt, z + lid), (width, 0.0, 0.0), (0.0, belt - roof, screen))
    away = Place((flank, 0.0, z), (0.0, 0.0, length), (0.0, -roof, 0.0))
    towards = Place((flank, 0.0, z + length), (0.0, 0.0, -length), (0.0, -roof, 0.0))
    top = flat(left + 0.2, width - 0.4, z + lid + screen, z + lid + screen + 2, roof)
    for place, sprite in (
        (upright(x, z, width, belt), sprites.car_end(oncoming)),
        (flat(left, width, z, z + lid, belt), None),
        (window, sprites.car_window()),
        (top, None),
        (towards if oncoming else away, sprites.car_side()),
    ):
        site.paint(place, Label.car, palette, sprite)
    for height in (0.15, 0.9):
        shift_x, shift_z = (part * height for part in site.light.shadow)
        start = z + shift_z - 0.2
        site.shade(flat(left + shift_x - 0.15, width + 0.3, start, start + length + 0.4))


def _person(site: Site, x: float, z: float, base: float) -> None:
    draw, grow = site.draw, site.draw.between(0.88, 1.05)
    width, height = (size * grow for size in sprites.PERSON_SIZE)
    sprite = draw.pick((sprites.person, sprites.person_ahead))(draw.below(sprites.PHASES))
    trousers, shirt, hair, bag = (draw.near(draw.pick(_CLOTHES), 0.1) for _ in range(4))
    palette = trousers, shirt, draw.pick(_SKINS), hair, _BLACK, bag
    site.paint(upright(x, z, width, height, base), Label.pedestrian, palette, sprite)
    site.cast(x, z, 0.5, 0.0, height, sprite)


def _cyclist(site: Site, x: float, z: float) -> None:
    draw = site.draw
    seen = sprites.cyclist_ahead if draw.chance(0.75) else sprites.cyclist
    width, height = sprites.CYCLIST_AHEAD_SIZE if seen is sprites.cyclist_ahead else sprites.CYCLIST_SIZE
    sprite = seen(draw.below(sprites.PHASES))
    trousers, shirt, helmet = (draw.near(draw.pick(_CLOTHES), 0.1) for _ in range(3))
    palette = trousers, shirt, draw.pick(_SKINS), helmet, _BLACK, draw.pick(_BODIES)
    site.paint(upright(x, z, width, height), Label.bicyclist, palette, sprite)
    site.cast(x, z, width * 0.8, 0.0, height, sprite)
