"""Objects along the building line: closed rows, houses in gardens, parks, and their trees and fences."""

from __future__ import annotations

from math import copysign
from typing import Final

from segcode.streets import sprites
from segcode.streets.plan import Crown, Label, Windows
from segcode.streets.site import Place, Site, flat, lengthwise, upright
from segcode.streets.surfaces import Colour, Material

WALLS: Final[tuple[Colour, ...]] = (
    *((0.84, 0.78, 0.66), (0.80, 0.66, 0.46), (0.70, 0.45, 0.34), (0.74, 0.73, 0.70), (0.88, 0.86, 0.81)),
    *((0.62, 0.68, 0.72), (0.56, 0.33, 0.26), (0.76, 0.70, 0.60), (0.68, 0.72, 0.60), (0.82, 0.66, 0.60)),
    *((0.50, 0.47, 0.44), (0.60, 0.40, 0.31)),
)
GLASS: Final[Colour] = (0.16, 0.20, 0.24)
_TRIMS: Final[tuple[Colour, ...]] = ((0.88, 0.86, 0.82), (0.70, 0.66, 0.60), (0.40, 0.36, 0.33))
_SHOPS: Final[tuple[Colour, ...]] = (
    *((0.16, 0.22, 0.34), (0.55, 0.16, 0.15), (0.15, 0.32, 0.24), (0.72, 0.68, 0.60), (0.20, 0.19, 0.18)),
    *((0.38, 0.30, 0.22), (0.66, 0.50, 0.20), (0.30, 0.20, 0.28)),
)
_ROOFS: Final[tuple[Colour, ...]] = ((0.50, 0.27, 0.20), (0.36, 0.30, 0.29), (0.30, 0.32, 0.36), (0.55, 0.36, 0.26))
_WOODS: Final[tuple[Colour, ...]] = ((0.52, 0.40, 0.29), (0.62, 0.60, 0.56), (0.80, 0.79, 0.75))
_DEPTH: Final = 11.0
"""Metres from the front of a building to its back."""


def build_frontage(site: Site, side: int, start: float, stop: float) -> None:
    """One side of a block."""
    kind = site.draw.between(0.0, 1.0)
    if kind < 0.55:
        _row(site, side, start, stop)
    elif kind < 0.82:
        _houses(site, side, start, stop)
    else:
        _garden(site, side, start, stop, trees=round((stop - start) / 6))


def _row(site: Site, side: int, start: float, stop: float) -> None:
    while stop - start > 4:
        width = min(site.draw.between(7.0, 17.0), stop - start)
        width = stop - start if stop - start - width < 5 else width
        _building(site, side, site.plan.frontage, start, start + width, site.draw.between(7.0, 19.0))
        start += width


def _houses(site: Site, side: int, start: float, stop: float) -> None:
    setback = site.draw.between(1.5, 5.0)
    _garden(site, side, start, stop, trees=round((stop - start) / 18))
    while stop - start > 9:
        width = site.draw.between(7.0, 11.0)
        _building(site, side, site.plan.frontage + setback, start + 1, start + 1 + width, site.draw.between(4.5, 7.5))
        start += width + site.draw.between(3.0, 9.0)


def _building(site: Site, side: int, at: float, start: float, stop: float, height: float) -> None:
    """A front to the street and a wall to the near side; `at` is the front's distance from the axis."""
    draw = site.draw
    tall = height > 8
    windows = _windows(site, stop - start, height, shop=tall and draw.chance(0.45))
    height = windows.eaves
    wall, trim = draw.near(draw.pick(WALLS), 0.1), draw.near(draw.pick(_TRIMS))
    base = draw.near(draw.pick(_SHOPS if windows.shop else (wall, trim)), 0.1)
    palette = wall, trim, draw.near(GLASS, 0.2), base, draw.near(draw.pick(_SHOPS))
    front = lengthwise(side * at, start, stop, height)
    if not tall and draw.chance(0.15):
        # overgrown, and then nothing but the rest of the scene tells it from a tall hedge
        site.add(front, Label.building, Material.LEAVES, site.plan.foliage)
    else:
        site.add(front, Label.building, Material.FACADE, palette, windows)
    # some walls to the side are blind
    near = windows._replace(bay=_DEPTH / 4, shop=0.0, width=windows.width * draw.pick((0.0, 0.8)))
    middle = side * (at + _DEPTH / 2)
    site.add(upright(middle, start, _DEPTH, height), Label.building, Material.FACADE, palette, near)
    if windows.shop and draw.chance(0.6):
        awning = Place((side * at, -2.9, start + 0.4), (0.0, 0.0, stop - start - 0.8), (-side * 1.1, 0.5, 0.0))
        site.add(awning, Label.building, Material.BOARDS, (base, trim), (0.7, 0.0))
    if draw.chance(0.6):
        _roof(site, side, at, start, stop, height, wall)


def _windows(site: Site, width: float, height: float, shop: bool) -> Windows:
    """Whole numbers of storeys and bays that come close to what was drawn."""
    draw = site.draw
    storey = draw.between(2.7, 3.4)
    ground_floor = draw.between(3.2, 4.2) if height > 8 else 2.8
    bay = width / max(2, round(width / draw.between(2.2, 3.6)))
    return Windows(
        storey=storey,
        bay=bay,
        width=bay * draw.between(0.36, 0.62),
        height=storey * draw.between(0.45, 0.66),
        ground_floor=ground_floor,
        eaves=ground_floor + max(1, round((height - ground_floor) / storey)) * storey,
        bricks=draw.pick((0.0, 0.0, 0.8)),
        shop=float(shop),
    )


def _roof(site: Site, side: int, at: float, start: float, stop: float, eaves: float, wall: Colour) -> None:
    rise = site.draw.between(2.0, 3.6)
    tiles = site.draw.near(site.draw.pick(_ROOFS), 0.1)
    slope = (side * (at - 0.3), -eaves, start), (0.0, 0.0, stop - start), (side * (_DEPTH / 2 + 0.3), -rise, 0.0)
    site.add(Place(*slope), Label.building, Material.BOARDS, (tiles, tiles), (0.0, 0.35))
    gable = upright(side * (at + _DEPTH / 2), start, _DEPTH, rise, eaves)
    site.paint(gable, Label.building, (wall,), sprites.gable())


def _garden(site: Site, side: int, start: float, stop: float, trees: int) -> None:
    """A lawn with trees behind a fence, a hedge, an overgrown fence or a low wall."""
    draw, plan, at = site.draw, site.plan, side * site.plan.frontage
    site.add(flat(at, side * 30.0, start, stop, plan.kerb + 0.02), Label.tree, Material.LEAVES, plan.foliage)
    _boundary(site, at, start, stop)
    for _ in range(trees):
        x, z = at + side * draw.between(2.5, 12.0), draw.between(start + 2, stop - 2)
        plant_tree(site, x, z, draw.between(6.0, 12.0))


def _boundary(site: Site, x: float, start: float, stop: float) -> None:
    draw, plan = site.draw, site.plan
    kind = draw.pick(("green", "green", "masonry", "boards", "rails"))
    height = draw.between(2.5, 4.5) if kind == "green" and draw.chance(0.3) else draw.between(1.0, 2.1)
    along = lengthwise(x, start, stop, height, plan.kerb)
    end = upright(x + copysign(0.3, x), start, 0.6, height, plan.kerb)
    if kind == "green":
        for place in (along, end):
            site.add(place, plan.hedge_label, Material.LEAVES, plan.foliage)
    elif kind == "masonry":
        wall = draw.near(draw.pick(WALLS), 0.1)
        for place in (along, end):
            site.add(place, plan.wall_label, Material.FACADE, (wall,) * 5, Windows(eaves=height, bricks=0.8))
    elif kind == "boards":
        wood = draw.near(draw.pick(_WOODS), 0.1)
        site.add(along, Label.fence, Material.BOARDS, (wood, wood), (0.16, 0.0))
    else:
        bays = max(1, round((stop - start) / 1.8))
        site.paint(along, Label.fence, (draw.near((0.25, 0.27, 0.28), 0.3),), sprites.rails(), bays)


def plant_tree(site: Site, x: float, z: float, height: float) -> None:
    """A trunk, and a crown of a few ragged discs one behind the other."""
    draw = site.draw
    variant = draw.below(sprites.CROWNS)
    conifer = variant >= sprites.LEAFY_CROWNS
    spread = height * (0.45 if conifer else draw.between(0.6, 0.85))
    low = height * (0.1 if conifer else 0.32)
    bark = draw.near((0.30, 0.24, 0.19), 0.2)
    site.paint(upright(x, z, height * 0.035 + 0.06, height * 0.6), Label.tree, (bark,))
    dark, light = (draw.near(colour, 0.15) for colour in site.plan.foliage)
    for layer in range(1 if conifer else 3):
        size = draw.between(0.55, 0.8) if layer else 1.0
        shift = draw.between(-0.25, 0.25) * spread if layer else 0.0
        lift = draw.between(0.0, 0.35) * (height - low) if layer else 0.0
        shape = Crown(spread * size, (height - low) * size, site.light.to_sun[0])
        outline = sprites.crown(variant if conifer else (variant + layer) % sprites.LEAFY_CROWNS)
        place = upright(x + shift, z - 0.6 * layer, shape.width, shape.height, low + lift)
        site.add(place, Label.tree, Material.LEAVES, (dark, light), shape, outline)
    site.cast(x, z, 0.3, 0.0, low)
    site.cast(x, z, spread, low, height, sprites.crown(variant))
