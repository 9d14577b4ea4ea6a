"""The classes of a data set: their names, colours and, for Cityscapes, the ids of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from segcode.errors import ConfigError, nearest
from segcode.tensors import IGNORE, Image, LabelImage

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassSet:
    """Names and colours of the classes 0..M-1 in the order of their train ids.

    Args:
        names: one distinct name a class.
        colours: RGB in 0..255, one a class.
        raw_ids: the id that label files use for each class, where it differs from the train id.

    Raises:
        ConfigError: if lengths differ, names repeat, or there are not 2 to 255 classes.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    raw_ids: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= IGNORE:
            raise ConfigError(f"a class set needs 2 to {IGNORE} classes, not {len(self.names)}")
        if len(set(self.names)) != len(self.names):
            repeated = sorted({n for n in self.names if self.names.count(n) > 1})
            raise ConfigError(f"class names must differ; repeated: {', '.join(repeated)}")
        if len(self.colours) != len(self.names):
            raise ConfigError(f"{len(self.names)} classes have {len(self.colours)} colours: give one RGB each")
        if self.raw_ids and len(self.raw_ids) != len(self.names):
            raise ConfigError(f"{len(self.names)} classes have {len(self.raw_ids)} raw ids: give one each, or none")
        if wrong := [value for value in (*chain(*self.colours), *self.raw_ids) if not 0 <= value <= 255]:
            raise ConfigError(f"a colour or raw id of the classes is {wrong[0]}: give numbers from 0 to 255")
        if len(set(self.raw_ids)) != len(self.raw_ids):
            raise ConfigError(f"the classes have the raw ids {self.raw_ids}: give each its own")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The train id of a class. Raises ConfigError naming the nearest known class."""
        if name not in self.names:
            raise ConfigError(f"no class is called '{name}': {nearest(name, self.names)}")
        return self.names.index(name)

    def colourise(self, labels: LabelImage) -> Image:
        """Labels (H, W) as an RGB picture (H, W, 3); void is black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colours
        return palette[labels]

    @property
    def raw_void(self) -> int:
        """The id of void in the data set's files: 0 as Cityscapes' "unlabeled" if no class has it, else 255 or less."""
        used = self.raw_ids or range(len(self))
        return next(i for i in (0, *range(255, 0, -1)) if i not in used)

    def to_raw(self, labels: LabelImage) -> LabelImage:
        """Train ids to the ids of the data set's files; void becomes `raw_void`."""
        table = np.full(256, self.raw_void, np.uint8)
        table[: len(self)] = self.raw_ids or range(len(self))
        return table[labels]


def _class_set(table: Mapping[str, Colour], raw_ids: tuple[int, ...] = ()) -> ClassSet:
    return ClassSet(tuple(table), tuple(table.values()), raw_ids)


CAMVID = _class_set(
    {
        "sky": (128, 128, 128),
        "building": (128, 0, 0),
        "pole": (192, 192, 128),
        "road": (128, 64, 128),
        "sidewalk": (0, 0, 192),
        "tree": (128, 128, 0),
        "sign": (192, 128, 128),
        "fence": (64, 64, 128),
        "car": (64, 0, 128),
        "pedestrian": (64, 64, 0),
        "bicyclist": (0, 128, 192),
    }
)
"""The 11 classes of the usual CamVid benchmark (Brostow et al. 2009; colours of the original labels).
The synthetic `streets` have the same classes."""

CITYSCAPES = _class_set(
    {
        "road": (128, 64, 128),
        "sidewalk": (244, 35, 232),
        "building": (70, 70, 70),
        "wall": (102, 102, 156),
        "fence": (190, 153, 153),
        "pole": (153, 153, 153),
        "traffic light": (250, 170, 30),
        "traffic sign": (220, 220, 0),
        "vegetation": (107, 142, 35),
        "terrain": (152, 251, 152),
        "sky": (70, 130, 180),
        "person": (220, 20, 60),
        "rider": (255, 0, 0),
        "car": (0, 0, 142),
        "truck": (0, 0, 70),
        "bus": (0, 60, 100),
        "train": (0, 80, 100),
        "motorcycle": (0, 0, 230),
        "bicycle": (119, 11, 32),
    },
    raw_ids=(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
)
"""The 19 train classes of Cityscapes (Cordts et al. 2016), with the label ids of its files.
A test holds this table against the official `cityscapesScripts`."""
