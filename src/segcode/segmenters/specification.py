"""Opens the segmenter and the classes that a text such as "onnx:net.onnx" names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from segcode.classes import ClassSet
from segcode.data.folder import ClassFile, find_class_file
from segcode.errors import ConfigError, listed, nearest
from segcode.model.shipped import shipped_models
from segcode.numbers import Meaning, Numbers
from segcode.prediction import CallableSegmenter, Segmenter
from segcode.segmenters.from_arrays import ArraySegmenter
from segcode.segmenters.from_export import ExportedSegmenter, is_export
from segcode.segmenters.from_labels import CONFIDENCE, LabelSegmenter
from segcode.segmenters.from_onnx import OnnxSegmenter, open_onnx
from segcode.segmenters.from_python import classes_of_object, import_segmenter
from segcode.segmenters.named_classes import check_order, classes_of, ids_of, read_classes

if TYPE_CHECKING:
    from segcode.model.segcode import SegCode

KINDS: Final = ("transformers", "onnx", "arrays", "labels", "python")
"""The kinds that may stand before the colon."""


class OpenedSegmenter(NamedTuple):
    """A segmenter with its classes.

    Attributes:
        segmenter: makes the initial predictions.
        classes: the classes of its indices.
        purpose: the images that it is for, or the source of its classes, in words.
        model: the segcode model; None if the segmenter is another one.
    """

    segmenter: Segmenter
    classes: ClassSet
    purpose: str
    model: SegCode | None = None

    @property
    def numbers(self) -> Numbers | None:
        """The check of its outputs; None if it has none, as a segcode model or label maps."""
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
        device: the device to compute on; ONNX Runtime uses the CPU.
        classes: a class file, the folder of one, or a class set ("camvid", "cityscapes", "streets"). Without it, those
            of the model, of the Python object's `classes`, of the nearest classes.toml, or of `data`.
        numbers: the meaning of the segmenter's numbers, which is checked; by default it is detected.
        confidence: the share of pixels that are right, for labels:DIR alone.
        data: the classes of the images, if these are a data set.
        report: called with one line for each thing that was detected.

    Raises:
        ConfigError: if there is no such kind, or no classes are found, or an option is for another kind.
        CheckpointError: if a model is missing or damaged.
    """
    kind, where = _split(text)
    if kind in ("model", "transformers", "labels") and numbers is not None:
        raise ConfigError(f"numbers (--numbers) are for arrays, ONNX and Python, not for '{text}': leave them out")
    if kind != "labels" and confidence is not None:
        raise ConfigError(f"a confidence (--confidence) is for labels:DIR, not for '{text}': leave it out")
    if kind == "model":
        if classes is not None:
            raise ConfigError(f"'{text}' is a model of segcode and has its classes: leave out --classes")
        return _open_model(where, device)

    session = open_onnx(Path(where)) if kind == "onnx" else None
    if session is not None and is_export(session):
        if classes is not None or numbers is not None:
            raise ConfigError(f"'{text}' is a model of segcode, exported: leave out --classes and --numbers")
        exported = ExportedSegmenter(session, Path(where))
        return OpenedSegmenter(exported, exported.config.classes, exported.config.purpose)

    segmenter: Any = None
    own: ClassSet | None = None
    if kind == "transformers":
        from segcode.segmenters.from_transformers import TransformersSegmenter

        segmenter = TransformersSegmenter(where, device)
        own = classes_of(segmenter.names)
    elif kind == "python":
        segmenter = import_segmenter(where)
        own = classes_of_object(segmenter)
    place = Path(where)
    source, chosen = _classes(text, place, own, classes, data)
    names = chosen.classes.names
    read = Numbers(names, numbers, report)
    match kind:
        case "python":
            segmenter = CallableSegmenter(getattr(segmenter, "predict", segmenter), read)
        case "onnx":
            segmenter = OnnxSegmenter(session, place, read, report)
        case "arrays":
            segmenter = ArraySegmenter(place, read)
        case "labels":
            segmenter = LabelSegmenter(place, chosen, CONFIDENCE if confidence is None else confidence, report)
    return OpenedSegmenter(segmenter, chosen.classes, f"the {len(names)} classes {listed(names, 8)} ({source})")


def _split(text: str) -> tuple[str, str]:
    """The kind of a segmenter, one of `KINDS` or "model", and the rest of its name."""
    kind, colon, where = text.partition(":")
    if not colon or (kind not in KINDS and Path(text).exists()):
        return "model", text
    if kind not in KINDS:
        raise ConfigError(f"'{text}': no kind of segmenter is called '{kind}': {nearest(kind, KINDS)}")
    return kind, where


def _open_model(name: str, device: str) -> OpenedSegmenter:
    if name not in shipped_models() and not Path(name).exists():
        raise ConfigError(
            f"no folder and no shipped model is called '{name}': {nearest(name, shipped_models())} Other segmenters "
            f"are KIND:WHERE, as python:my_module.logits; the kinds are {', '.join(KINDS)}"
        )
    from segcode.model.checkpoint import load_model

    loaded = load_model(name)
    model = loaded.model.to(device)
    return OpenedSegmenter(model, loaded.classes, loaded.purpose, model)


def _classes(
    text: str, place: Path, own: ClassSet | None, classes: str | None, data: ClassSet | None
) -> tuple[str, ClassFile]:
    """The source of the classes and the classes: as given, the segmenter's own, the nearest class file, or the data."""
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
