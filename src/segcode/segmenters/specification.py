"""From the text that names a segmenter to the segmenter and its classes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from segcode.classes import ClassSet
from segcode.data.folder import ClassFile
from segcode.errors import ConfigError, nearest
from segcode.model.shipped import shipped_models
from segcode.numbers import Meaning, Numbers
from segcode.prediction import CallableSegmenter, Segmenter
from segcode.segmenters.from_arrays import ArraySegmenter
from segcode.segmenters.from_export import ExportedSegmenter, is_export
from segcode.segmenters.from_labels import CONFIDENCE, LabelSegmenter
from segcode.segmenters.from_onnx import OnnxSegmenter, open_onnx
from segcode.segmenters.from_python import classes_of_object, import_segmenter
from segcode.segmenters.named_classes import check_order, classes_of, find_class_file, ids_of, read_classes

if TYPE_CHECKING:
    from segcode.model.segcode import SegCode

KINDS: Final = ("transformers", "onnx", "arrays", "labels", "python")
"""What may stand before the colon."""


class OpenedSegmenter(NamedTuple):
    """A segmenter and what is known of it.

    Attributes:
        segmenter: that predicts.
        classes: that its indices mean.
        purpose: which images it is for, or where its classes are from, in words.
        model: of segcode itself, where it is one.
    """

    segmenter: Segmenter
    classes: ClassSet
    purpose: str
    model: SegCode | None = None

    @property
    def numbers(self) -> Numbers | None:
        """What its outputs were taken for, where that is a question."""
        return getattr(self.segmenter, "numbers", None)


def to_stderr(line: str) -> None:
    """Print a line where results do not go."""
    print(line, file=sys.stderr)


def open_segmenter(
    text: str,
    device: str = "cpu",
    *,
    classes: str | None = None,
    numbers: Meaning | None = None,
    confidence: float | None = None,
    data: ClassSet | None = None,
    report: Callable[[str], None] = to_stderr,
) -> OpenedSegmenter:
    """A segmenter by its name.

    Args:
        text: KIND:WHERE, such as "transformers:FOLDER_OR_NAME", "onnx:net.onnx", "arrays:DIR", "labels:DIR" or
            "python:module.function"; or the name or folder of a segcode model.
        device: to compute on; ONNX Runtime uses the CPU.
        classes: a class file, the folder of one, or a class set ("camvid", "cityscapes", "streets"). Without it, those
            of the model, of the Python object's `classes`, of the nearest classes.toml, or of `data`.
        numbers: what the segmenter's numbers mean, to be checked; otherwise found out.
        confidence: of labels: the share of pixels that are right.
        data: the classes of the images, if these are a data set.
        report: is told what was found out.

    Raises:
        ConfigError: if there is no such kind, or no classes are found, or an option is for another kind.
        CheckpointError: if a model is missing or damaged.
    """
    kind, colon, where = text.partition(":")
    if not colon or (kind not in KINDS and Path(text).exists()):
        kind, where = "model", text
    elif kind not in KINDS:
        raise ConfigError(f"'{text}': no kind of segmenter is called '{kind}': {nearest(kind, KINDS)}")
    if kind in ("model", "transformers", "labels") and numbers is not None:
        raise ConfigError(f"numbers (--numbers) are for arrays, ONNX and Python, not for '{text}': leave them out")
    if kind != "labels" and confidence is not None:
        raise ConfigError(f"a confidence (--confidence) is for labels:DIR, not for '{text}': leave it out")
    if kind == "model":
        if classes is not None:
            raise ConfigError(f"'{text}' is a model of segcode and has its classes: leave out --classes")
        if where not in shipped_models() and not Path(where).exists():
            raise ConfigError(
                f"no folder and no shipped model is called '{where}': {nearest(where, shipped_models())} Other "
                f"segmenters are KIND:WHERE, as python:my_module.logits; the kinds are {', '.join(KINDS)}"
            )
        from segcode.model.checkpoint import load_model

        loaded = load_model(where)
        model = loaded.model.to(device)
        return OpenedSegmenter(model, loaded.classes, loaded.purpose, model)

    place, own = Path(where), None
    session = open_onnx(place) if kind == "onnx" else None
    if session is not None and is_export(session):
        if classes is not None or numbers is not None:
            raise ConfigError(f"'{text}' is a model of segcode, exported: leave out --classes and --numbers")
        exported = ExportedSegmenter(session, place)
        return OpenedSegmenter(exported, exported.config.classes, exported.config.purpose)
    segmenter: Any = None
    if kind == "transformers":
        from segcode.segmenters.from_transformers import TransformersSegmenter

        segmenter = TransformersSegmenter(where, device)
        own = classes_of(segmenter.names)
    elif kind == "python":
        segmenter = import_segmenter(where)
        own = classes_of_object(segmenter)
    source, chosen = _classes(text, place, own, classes, data)
    read = Numbers(chosen.classes.names, numbers, report)
    if kind == "python":
        segmenter = CallableSegmenter(getattr(segmenter, "predict", segmenter), read)
    elif kind == "onnx":
        segmenter = OnnxSegmenter(session, place, read, report)
    elif kind == "arrays":
        segmenter = ArraySegmenter(place, read)
    elif kind == "labels":
        segmenter = LabelSegmenter(place, chosen, CONFIDENCE if confidence is None else confidence, report)
    names = chosen.classes.names
    return OpenedSegmenter(segmenter, chosen.classes, f"the {len(names)} classes {_listed(names)} ({source})")


def _classes(
    text: str, place: Path, own: ClassSet | None, classes: str | None, data: ClassSet | None
) -> tuple[str, ClassFile]:
    """Classes and where they are from: as given, the segmenter's own, of the nearest class file, or of the data."""
    if classes is not None:
        given = read_classes(classes)
        if own is not None:
            check_order(own, given.classes, text, classes)
        return classes, given
    if own is not None:
        return "its own", ids_of(own)
    file = None if text.startswith("python:") else find_class_file(place)
    if file is not None:
        return str(file), read_classes(str(file))
    if data is not None:
        return "those of the data", ids_of(data)
    raise ConfigError(
        f"'{text}' does not say its classes: give --classes, a class file (docs/data.md) or camvid or cityscapes, "
        "or put classes.toml beside it"
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
