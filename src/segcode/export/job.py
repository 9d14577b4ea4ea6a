"""The label maps of many images in the layouts that other programs read."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image as Pillow

from segcode.classes import ClassSet
from segcode.data.folder import CLASS_FILE, class_file_text
from segcode.data.labels import encode_labels
from segcode.export.choices import Layout
from segcode.export.runs import coco, coco_id
from segcode.palette import distinct_colours
from segcode.tensors import IGNORE, LabelImage

BACKGROUND: Final = (0, 0, 0)
"""What no class has in Pascal VOC's colours; CVAT and datumaro take it for not labelled."""


class Finished(NamedTuple):
    """What is exported of an image.

    Attributes:
        name: of the image without its ending; other than that of all others.
        file_name: with its ending.
        labels: class indices (H, W), IGNORE where void.
        truth: the labelled pixels (H, W), IGNORE elsewhere.
    """

    name: str
    file_name: str
    labels: LabelImage
    truth: LabelImage


class File(NamedTuple):
    """A file of an export: its path, with slashes, and its content; an empty folder where the path ends in one."""

    path: str
    content: bytes


class Job:
    """An export of many images, which are added one after the other.

    Beside the maps there are always `classes.toml` and `id2label.json` with the ids that the layout has.

    "indices" and "ids": `labels/NAME.png` and `truth/NAME.png` with class indices or the ids of the data set.
    "voc": `SegmentationClass/NAME.png` with class indices from 1, 255 where void, in the colours of `labelmap.txt`, as
    CVAT's "Segmentation mask 1.1" and datumaro's "voc".
    "coco": `annotations/instances_default.json`, run lengths with category ids from 1, as CVAT and datumaro read it.
    """

    def __init__(self, layout: Layout, classes: ClassSet) -> None:
        """Begin an export."""
        self._classes = classes
        self._layout = layout
        self._names: list[str] = []
        self._coco: dict[str, list[Any]] = {"images": [], "categories": [], "annotations": []}
        free_of_black = len({BACKGROUND, *classes.colours}) == len(classes) + 1
        self._colours = classes.colours if free_of_black else distinct_colours(len(classes))

    def add(self, image: Finished) -> Iterator[File]:
        """The files of an image."""
        self._names.append(image.name)
        if self._layout == "coco":
            one = coco(image.file_name, image.labels, self._classes, coco_id(image.name))
            self._coco["categories"] = one["categories"]
            for part in ("images", "annotations"):
                self._coco[part] += one[part]
        elif self._layout == "voc":
            yield File(f"SegmentationClass/{image.name}.png", self._coloured(image.labels))
        else:
            raw = self._layout == "ids"
            yield File(f"labels/{image.name}.png", encode_labels(image.labels, self._classes, raw, complete=True))
            yield File(f"truth/{image.name}.png", encode_labels(image.truth, self._classes, raw))

    def end(self) -> Iterator[File]:
        """The files of all images together."""
        first = 0 if self._layout in ("indices", "ids") else 1
        ids, void = tuple(range(first, first + len(self._classes))), IGNORE
        if self._layout == "ids":
            ids, void = self._classes.raw_ids or ids, self._classes.raw_void
        each = zip(self._classes.names, self._classes.colours, ids, strict=True)
        tables = [{"name": name, "colour": colour, "id": number} for name, colour, number in each]
        yield File(CLASS_FILE, class_file_text(tables, [void]).encode())
        yield File("id2label.json", _json(dict(zip(ids, self._classes.names, strict=True))))
        if self._layout == "coco":
            yield File("annotations/instances_default.json", _json(self._coco))
            yield File("images/", b"")  # datumaro reads no COCO without this folder
        elif self._layout == "voc":
            yield File("ImageSets/Segmentation/default.txt", "".join(f"{name}\n" for name in self._names).encode())
            lines = zip(("background", *self._classes.names), (BACKGROUND, *self._colours), strict=True)
            text = [f"{name.replace(':', '_')}:{','.join(map(str, colour))}::\n" for name, colour in lines]
            yield File("labelmap.txt", "".join(["# label:color_rgb:parts:actions\n", *text]).encode())

    def _coloured(self, labels: LabelImage) -> bytes:
        picture = Pillow.fromarray(np.where(labels == IGNORE, labels, labels + 1))
        palette = [*BACKGROUND, *(value for colour in self._colours for value in colour)]
        picture.putpalette(palette + [0] * (3 * 256 - len(palette)))
        content = io.BytesIO()
        picture.save(content, format="PNG")
        return content.getvalue()


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
