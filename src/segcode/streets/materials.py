"""How each material looks in even light: a shader for each, over all its visible pixels at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from segcode.streets.noise import CLOUD, GRAIN, WHITE, lookup
from segcode.streets.plan import Crown, Paving, Windows
from segcode.streets.surfaces import Material

Values: TypeAlias = Float32[ndarray, " n"]
Colours: TypeAlias = Float32[ndarray, "3 n"]


@dataclass(frozen=True)
class Texels:
    """Some pixels of one material: where on their surfaces they are, and what their surfaces look like.

    Attributes:
        u, v: metres along the surface's side and rise.
        du, dv: how far the pixel reaches on the surface in metres; what is finer fades to its mean.
        phase: shifts the texture.
        part: the part of the sprite, where it has one.
        surface: the surfaces' numbers, to look up their palettes.
        palettes: the colours of all surfaces.
        pattern: the numbers of the surfaces' material.
    """

    u: Values
    v: Values
    du: Values
    dv: Values
    phase: Values
    part: ndarray
    surface: ndarray
    palettes: Float32[ndarray, "slots 3 surfaces"]
    pattern: Float32[ndarray, "numbers n"]

    def colour(self, slot: int) -> Colours:
        """One slot of the surfaces' palettes."""
        return self.palettes[slot].take(self.surface, axis=1)


_BRIGHT_SKY: Final = np.full((3, 1), 0.62, np.float32)
_CURTAIN: Final = np.full((3, 1), 0.75, np.float32)


def _mix(a: ndarray, b: ndarray, share: ndarray) -> ndarray:
    return a + (b - a) * share


def _band(x: Values, half: ndarray | float, blur: Values) -> Values:
    """1 where |x| < half, 0 outside, with an edge as wide as a pixel."""
    return np.clip((half - np.abs(x)) / blur + 0.5, 0, 1)


def _centred(x: Values, period: ndarray | float) -> Values:
    """Measure x from the middle of its period."""
    return x - (np.floor(x / period) + np.float32(0.5)) * period


def _texture(tile: ndarray, t: Texels, texel: float) -> Values:
    """Noise with texels of a size in metres; it fades out where a pixel covers many of them."""
    noise = lookup(tile, t.u / texel + t.phase, t.v / texel + 3 * t.phase)
    return noise * np.minimum(1, 4 * texel / (t.du + t.dv))


def _ground(t: Texels) -> Colours:
    """Asphalt or slabs, with kerbstones, lines and zebra crossings."""
    p = Paving(*t.pattern[: len(Paving())])
    fade = np.minimum(1, 0.25 * p.slab_u / (t.du + t.dv))
    joint = 1 - _band(_centred(t.u, p.slab_u), p.slab_u / 2 - 0.012, t.du) * _band(
        _centred(t.v, p.slab_v), p.slab_v / 2 - 0.012, t.dv
    )
    slab = lookup(WHITE, np.floor(t.u / p.slab_u) * 7 + t.phase, np.floor(t.v / p.slab_v) * 13)
    colour = _mix(t.colour(0), t.colour(2), joint * p.joint * fade)
    colour *= (
        1
        + (slab - 0.5) * 0.14 * p.joint * fade
        + 0.065 * _texture(GRAIN, t, 0.02)
        + p.stains * _texture(CLOUD, t, 0.04)
    )
    kerb = _band(t.u, p.kerb, t.du)
    centre = _band(t.u - p.centre, 0.07, t.du) * (p.centre > 0)
    centre *= np.where(p.dash > 0, _band(_centred(t.v, np.maximum(p.dash, 1)), p.dash / 4, t.dv), 1)
    zebra = _band(t.v - p.crosswalk - 1.5, 1.5, t.dv) * (p.crosswalk > 0)
    painted = _mix(centre, _band(_centred(t.u, 1.0), 0.25, t.du), zebra)
    worn = 0.8 + 0.1 * lookup(GRAIN, t.u * 30, t.v * 30)
    return _mix(_mix(colour, t.colour(1), kerb), t.colour(3), painted * np.clip(worn, 0, 1) * (p.centre > 0))


def _facade(t: Texels) -> Colours:
    """Plaster or bricks with a grid of windows, a ground floor, a cornice."""
    p = Windows(*t.pattern[: len(Windows())])
    up = t.v - p.ground_floor
    upstairs = up > 0
    column, storey = np.floor(t.u / p.bay), np.floor(up / p.storey)
    chance = lookup(WHITE, column * 37 + t.phase, storey * 11 + t.phase)
    across = _centred(t.u, p.bay)
    shop = (p.shop > 0) & ~upstairs
    door = ~upstairs & ~shop & (chance > 0.75)
    half_width = np.where(shop, p.bay * 0.46, np.where(door, 0.55, p.width / 2))
    half_height = np.where(shop, p.ground_floor * 0.33, np.where(door, 1.1, p.height / 2))
    middle = np.where(shop, p.ground_floor * 0.42, np.where(door, 1.1, p.ground_floor * 0.5))
    above = np.where(upstairs, up - (storey + np.float32(0.5)) * p.storey, t.v - middle)
    has = (p.width > 0) & (t.v < p.eaves)
    pane = _band(across, half_width, t.du) * _band(above, half_height, t.dv) * has
    frame = _band(across, half_width + 0.12, t.du) * _band(above, half_height + 0.12, t.dv) * has
    # far away the edges' ramps outgrow the windows: there a wall shows its mean colour
    near = np.clip(p.bay / (2 * t.du) - 0.2, 0, 1)
    mean = p.width * p.height / (p.bay * p.storey) * has
    pane, frame = _mix(mean, pane, near), frame * near

    wall = _mix(t.colour(0), t.colour(3), (~upstairs & (p.ground_floor < p.eaves)).astype(np.float32))
    course = 1 - _band(_centred(t.v, 0.14), 0.05, t.dv)
    grime = 0.06 * _texture(CLOUD, t, 0.05) + 0.03 * _texture(GRAIN, t, 0.03)
    wall = wall * (1 + grime - 0.22 * p.bricks * course * np.minimum(1, 0.1 / t.dv) - 0.2 * np.exp(-t.v * 1.5))
    wall = _mix(wall, t.colour(1), frame)
    # glass is dark below, mirrors the sky above; some panes have curtains
    shine = np.clip(above / (2 * half_height) + 0.5, 0, 1) * (0.35 + 0.6 * chance)
    glass = _mix(t.colour(2), _BRIGHT_SKY, shine * shine)
    glass = _mix(glass, _CURTAIN, ((chance > 0.8) & upstairs) * np.float32(0.6))
    glass = _mix(glass, t.colour(4), door.astype(np.float32))
    mullion = _band(across, 0.04, t.du) * ~door * near
    reveal = 1 - 0.5 * np.clip((above - half_height) / 0.25 + 1, 0, 1)
    colour = _mix(wall, _mix(glass * reveal, t.colour(1), mullion), pane)
    cornice = _band(t.v - p.eaves + 0.2, 0.2, t.dv) + _band(up + 0.1, 0.12, t.dv)
    shade = _band(t.v - p.eaves + 0.55, 0.15, t.dv) + _band(up + 0.32, 0.1, t.dv)
    return _mix(colour * (1 - 0.35 * shade), t.colour(1), cornice * (p.width > 0))


def _leaves(t: Texels) -> Colours:
    """Foliage and lawn: bright tips on dark gaps, in clumps; crowns are brighter above and towards the sun."""
    p = Crown(*t.pattern[: len(Crown())])
    clumps = _texture(CLOUD, t, 0.03) * 0.16
    tips = _texture(GRAIN, t, 0.045) * 0.20
    right, up = (2 * size / np.maximum(extent, 1) - 1 for size, extent in ((t.u, p.width), (t.v, p.height)))
    modelled = (0.22 * up + 0.2 * p.sun * right) * (p.width > 0)
    return _mix(t.colour(0), t.colour(1), np.clip(0.5 + clumps + tips + modelled, 0, 1.25))


def _boards(t: Texels) -> Colours:
    """Stripes of two colours, dark joints between them: planks across u, courses of tiles along v, or an awning."""
    upright, courses = t.pattern[0], t.pattern[1]
    width = np.maximum(upright, 0.01)
    stripe = np.floor(t.u / width)
    joint = np.where(upright > 0, 1 - _band(_centred(t.u, width), width * 0.43, t.du), 0)
    joint += np.where(courses > 0, 1 - _band(_centred(t.v, np.maximum(courses, 0.01)), courses * 0.4, t.dv), 0)
    fade = np.minimum(1, 0.3 * np.maximum(width, courses) / (t.du + t.dv))
    colour: Colours = np.where((stripe % 2 > 0) & (upright > 0), t.colour(1), t.colour(0))
    tone = 0.12 * (lookup(WHITE, stripe * 5 + t.phase, np.floor(t.v / np.maximum(courses, 9))) - 0.5)
    colour *= 1 + tone - 0.4 * joint * fade + 0.05 * _texture(CLOUD, t, 0.03)
    return colour


def _paint(t: Texels) -> Colours:
    """Plain colours: the part of the sprite says which."""
    colour: Colours = t.palettes[t.part, :, t.surface].T
    colour *= 1 + 0.03 * _texture(GRAIN, t, 0.02)
    return colour


SHADERS: Final[Mapping[Material, Callable[[Texels], Colours]]] = {
    Material.PAINT: _paint,
    Material.GROUND: _ground,
    Material.FACADE: _facade,
    Material.LEAVES: _leaves,
    Material.BOARDS: _boards,
}
