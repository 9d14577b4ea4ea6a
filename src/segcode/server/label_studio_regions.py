"""Between Label Studio and segcode: the labels of a configuration, regions as marks, a map as regions."""

from __future__ import annotations

import logging
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from segcode.classes import ClassSet
from segcode.errors import DataError
from segcode.export.brush_runs import decode_brush, encode_brush
from segcode.export.runs import encode_runs
from segcode.server.label_studio_messages import Drawn, Value
from segcode.server.marks import WIDEST, Brush, Mark, Polygon, Region
from segcode.tensors import LabelImage

_log = logging.getLogger(__name__)

_CONFIGURATION: Final = 2**20  # characters; a real one has a few thousand


@dataclass(frozen=True)
class Layout:
    """The names in a labelling configuration.

    Args:
        brush: name of its BrushLabels.
        image: name of the Image that they are drawn on.
        key: of that image in a task's data.
        labels: as they are written, by class.
    """

    brush: str
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
    """Find the brush labels in a labelling configuration; names count whatever their case.

    Raises:
        DataError: if it is no XML, or has no brush labels for classes of the model.
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
    for brush in root.iter("BrushLabels"):
        image = brush.get("toName", "")
        known = _indices(classes)
        written = [label.get("value", "") for label in brush.iter("Label")]
        labels = {known[name.strip().lower()]: name for name in written if name.strip().lower() in known}
        if labels and image in images:
            return Layout(brush.get("name", ""), image, images[image].removeprefix("$"), labels)
    raise DataError(
        "the labelling configuration has no <BrushLabels> on an <Image> with a <Label> for a class of the model: "
        f"name some of {', '.join(classes.names)}"
    )


def marks_of(
    drawn: list[Drawn], classes: ClassSet, size: tuple[int, int], shown: Callable[[], LabelImage]
) -> Iterator[tuple[str, Mark]]:
    """The marks that a person made as regions, with their ids; labels that are no class of the model are left out.

    A polygon or a rectangle ends at its outline; a brush does not say where its region ends.

    A region that a person left as it was predicted labels nothing, since nobody may have looked at it; one that was
    changed labels its pixels beyond the map that it came from. A negative point erases labels.

    Args:
        drawn: the regions, in the order in which they count.
        classes: of the model.
        size: rows and columns of the image.
        shown: gives the map that the predicted regions came from, if there are any.

    Raises:
        DataError: if a region is damaged, or a brush is of an image of another size.
    """
    known = _indices(classes)
    for one in drawn:
        names = getattr(one.value, one.type, None) if one.type.endswith("labels") else None
        label = known.get(names[0].strip().lower()) if names else None
        if label is None or one.origin == "prediction":
            continue
        if one.type == "keypointlabels":
            yield one.id, _point(one, label, size)
        elif one.type == "brushlabels":
            mask = decode_brush(one.value.rle, _checked(one, size))
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
            "type": "brushlabels",
            "from_name": layout.brush,
            "to_name": layout.image,
            "origin": "prediction",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": encode_brush(labels == index), "brushlabels": [layout.labels[index]]},
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


def _checked(one: Drawn, size: tuple[int, int]) -> tuple[int, int]:
    if (one.original_height, one.original_width) != size:
        given = f"{one.original_width} x {one.original_height}"
        raise DataError(f"region {one.id} is of an image of {given}, which has {size[1]} x {size[0]}: draw it again")
    return size
