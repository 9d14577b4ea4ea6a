"""Sun, sky, air and camera response of one scene."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin, tan

from segcode.streets.plan import Draw
from segcode.streets.surfaces import Colour, Vector


@dataclass(frozen=True)
class Light:
    """How a scene is lit and photographed; colours are linear intensities.

    Attributes:
        to_sun: unit vector towards the sun (y down).
        shadow: where the shadow of a point one metre up falls, as (x, z) in metres.
        sun, ambient: the light of sun and sky on a white surface.
        zenith, horizon: colours of the clear sky; distant things fade into the horizon's.
        cloud: colour of the clouds.
        clouds: their share of the sky, 0..1.
        sight: metres after which haze leaves 37 % of the contrast.
        balance: exposure and white balance of the camera, a factor a channel.
    """

    to_sun: Vector
    shadow: tuple[float, float]
    sun: Colour
    ambient: Colour
    zenith: Colour
    horizon: Colour
    cloud: Colour
    clouds: float
    sight: float
    balance: Colour


def draw_light(draw: Draw) -> Light:
    """Draw the weather, the time of day and the camera's settings."""
    overcast = draw.chance(0.3)
    elevation = pi / 2 if overcast else draw.between(0.42, 1.1)
    azimuth = draw.between(0.0, 2 * pi)
    warm = 0.0 if overcast else (1.1 - elevation) / 0.7
    strength = 0.0 if overcast else draw.between(1.1, 1.6)
    exposure = draw.between(0.9, 1.35)
    tint = draw.between(-0.04, 0.04)
    return Light(
        to_sun=(cos(elevation) * sin(azimuth), -sin(elevation), cos(elevation) * cos(azimuth)),
        shadow=(-sin(azimuth) / tan(elevation), -cos(azimuth) / tan(elevation)),
        sun=(strength, strength * (0.94 - 0.12 * warm), strength * (0.84 - 0.34 * warm)),
        ambient=(1.0, 1.02, 1.06) if overcast else (0.46, 0.53, 0.64),
        zenith=(0.50, 0.54, 0.60) if overcast else (0.12, 0.30, 0.66),
        horizon=(0.72, 0.75, 0.78) if overcast else (0.58 + 0.24 * warm, 0.72, 0.86 - 0.14 * warm),
        cloud=(0.84, 0.87, 0.92) if overcast else (0.92, 0.90 - 0.04 * warm, 0.88 - 0.10 * warm),
        clouds=draw.between(0.7, 1.0) if overcast else draw.between(0.05, 0.65),
        sight=draw.between(180.0, 320.0) if overcast else draw.between(300.0, 900.0),
        balance=(exposure * (1 + tint), exposure, exposure * (1 - tint)),
    )
