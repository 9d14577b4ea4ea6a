"""Between Label Studio and segcode: the labels of a configuration, regions as marks, a map as regions."""

from __future__ import annotations

import logging
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from pydantic import ValidationError

from segcode.classes import ClassSet
from segcode.errors import DataError
from segcode.export.bitmask import decode_bitmask, encode_bitmask
from segcode.export.brush_runs import decode_brush, encode_brush
from segcode.export.runs import encode_runs
from segcode.server.label_studio_messages import Drawn, Value
from segcode.server.marks import WIDEST, Brush, Mark, Polygon, Region
from segcode.tensors import LabelImage

_log = logging.getLogger(__name__)

_CONFIGURATION: Final = 2**20  # characters; a real one has a few thousand
_PAINTED: Final = ("BrushLabels", "BitmaskLabels")


@dataclass(frozen=True)
class Layout:
    """The names in a labelling configuration.

    Args:
        kind: of the regions that a map is given as: "brushlabels" or "bitmasklabels".
        control: name of its BrushLabels or BitmaskLabels.
        image: name of the Image that they are drawn on.
        key: of that image in a task's data.
        labels: as they are written, by class.
    """

    kind: str
    control: str
    image: str
    key: str
    labels: dict[int, str]

    def source(self, data: dict[str, Any]) -> str:
        """The path or address of a task's image. Raises DataError if the task does not say."""
        source = data.get(self.key)
        if not isinstance(source, str) or not source:
            raise DataError(f"the task's '{self.key}' is {source!r}: let it be the path of an image")
        return source


def read_layout(configuration: str, classes: ClassSet) -> Layout:
    """Find the first brush or bitmask labels in a labelling configuration; names count whatever their case.

    Raises:
        DataError: if it is no XML, or has no such labels for classes of the model.
    """
    if len(configuration) > _CONFIGURATION or "<!doctype" in configuration.lower():
        raise DataError("the labelling configuration has a DOCTYPE or is endless: take it from docs/label-studio.md")
    try:
        root = ElementTree.fromstring(configuration)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(
            f"the labelling configuration is no XML ({error}): correct it in the project's settings"
        ) from None
    images = {tag.get("name"): tag.get("value", "") for tag in root.iter("Image")}
    known = _indices(classes)
    for control in (tag for tag in root.iter() if tag.tag in _PAINTED):
        image = control.get("toName", "")
        written = [label.get("value", "") for label in control.iter("Label")]
        labels = {known[name.strip().lower()]: name for name in written if name.strip().lower() in known}
        if labels and image in images:
            key = images[image].removeprefix("$")
            return Layout(control.tag.lower(), control.get("name", ""), image, key, labels)
    raise DataError(
        "the labelling configuration has no <BrushLabels> or <BitmaskLabels> on an <Image> with a <Label> for a class "
        f"of the model: name some of {', '.join(classes.names)}"
    )


def marks_of(
    drawn: list[Drawn], classes: ClassSet, size: tuple[int, int], shown: Callable[[], LabelImage]
) -> Iterator[tuple[str, Mark]]:
    """The marks that a person made as regions, with their ids; labels that are no class of the model are left out.

    A polygon or a rectangle ends at its outline; a brush or a bitmask does not say where its region ends.

    A region that a person left as it was predicted labels nothing, since nobody may have looked at it; one that was
    changed labels its pixels beyond the map that it came from. A negative point erases labels.

    Args:
        drawn: the regions, in the order in which they count.
        classes: of the model.
        size: rows and columns of the image.
        shown: gives the map that the predicted regions came from, if there are any.

    Raises:
        DataError: if a region is damaged, or what is painted is of an image of another size.
    """
    known = _indices(classes)
    for one in drawn:
        names = getattr(one.value, one.type, None) if one.type.endswith("labels") else None
        label = known.get(names[0].strip().lower()) if names else None
        if label is None or one.origin == "prediction":
            continue
        if one.type == "keypointlabels":
            yield one.id, _point(one, label, size)
        elif one.type in ("brushlabels", "bitmasklabels"):
            mask = _painted(one, size)
            if one.origin == "prediction-changed":
                mask &= shown() != label
            if mask.any():
                yield one.id, Region(label=label, size=size, runs=tuple(encode_runs(mask)), extent="part")
        elif one.type in ("polygonlabels", "rectanglelabels"):
            corners = one.value.points if one.type == "polygonlabels" else _corners(one.value, size)
            points = tuple((x / 100 * size[1], y / 100 * size[0]) for x, y in corners)
            try:
                yield one.id, Polygon(label=label, points=points)
            except ValidationError:
                raise DataError(f"region {one.id} has no corners, or one far from the image: draw it again") from None
        else:
            _log.warning("region %s is an ellipse, which says nothing here: draw a polygon or a brush", one.id[:100])


def regions_of(labels: LabelImage, layout: Layout) -> list[dict[str, Any]]:
    """A map as regions, one for each class that is there and has a label.

    The ids stay the same, so that a newer map's regions take the place of the older's when a person accepts them.
    """
    height, width = labels.shape
    return [
        {
            "id": f"segcode-{index}",
            "type": layout.kind,
            "from_name": layout.control,
            "to_name": layout.image,
            "origin": "prediction",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {**_shape(labels == index, layout.kind), layout.kind: [layout.labels[index]]},
        }
        for index in np.unique(labels).tolist()
        if index in layout.labels
    ]


def _indices(classes: ClassSet) -> dict[str, int]:
    return {name.lower(): index for index, name in enumerate(classes.names)}


def _point(one: Drawn, label: int, size: tuple[int, int]) -> Brush:
    height, width = size
    x, y, across = (min(max(0.0, per_cent), 100.0) / 100 for per_cent in (one.value.x, one.value.y, one.value.width))
    radius = min(across * width / 2, WIDEST)
    return Brush(label=label if one.is_positive else None, radius=radius, points=((x * width, y * height),))


def _corners(value: Value, size: tuple[int, int]) -> list[tuple[float, float]]:
    """The corners of a rectangle in per cent of the image; it is turned in pixels."""
    height, width = size
    turn = math.radians(value.rotation)
    sides = [(0.0, 0.0), (value.width, 0.0), (value.width, value.height), (0.0, value.height)]
    pixels = [(x / 100 * width, y / 100 * height) for x, y in sides]
    turned = [(x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)) for x, y in pixels]
    return [(value.x + 100 * x / width, value.y + 100 * y / height) for x, y in turned]


def _painted(one: Drawn, size: tuple[int, int]) -> Bool[ndarray, "H W"]:
    if (one.original_height, one.original_width) != size:
        given = f"{one.original_width} x {one.original_height}"
        raise DataError(f"region {one.id} is of an image of {given}, which has {size[1]} x {size[0]}: draw it again")
    if one.type == "bitmasklabels":
        return decode_bitmask(one.value.bitmask, size)
    return decode_brush(one.value.rle, size)


def _shape(mask: Bool[ndarray, "H W"], kind: str) -> dict[str, Any]:
    if kind == "bitmasklabels":
        return {"imageDataURL": encode_bitmask(mask)}
    return {"format": "rle", "rle": encode_brush(mask)}
