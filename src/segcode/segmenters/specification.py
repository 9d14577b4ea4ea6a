"""From the text that names a segmenter to the segmenter and its classes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from segcode.classes import ClassSet
from segcode.data.folder import ClassFile
from segcode.errors import ConfigError, nearest
from segcode.model.checkpoint import load_model
from segcode.model.segcode import SegCode
from segcode.model.segmenter import SegCodeSegmenter
from segcode.model.shipped import shipped_models
from segcode.numbers import Meaning, Numbers
from segcode.prediction import CallableSegmenter, Segmenter
from segcode.segmenters.from_arrays import ArraySegmenter
from segcode.segmenters.from_labels import CONFIDENCE, LabelSegmenter
from segcode.segmenters.from_onnx import OnnxSegmenter
from segcode.segmenters.from_python import import_segmenter
from segcode.segmenters.from_transformers import TransformersSegmenter
from segcode.segmenters.named_classes import classes_of, find_class_file, ids_of, read_classes

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
        model = load_model(where)
        return OpenedSegmenter(SegCodeSegmenter(model.model, device), model.classes, model.purpose, model.model)

    def opened(segmenter: Segmenter, found: ClassSet, source: str) -> OpenedSegmenter:
        return OpenedSegmenter(segmenter, found, f"the {len(found)} classes {_listed(found.names)} ({source})")

    named = None if classes is None else read_classes(classes)
    if kind == "transformers":
        network = TransformersSegmenter(where, device)
        own = classes_of(network.names)
        if named is not None and len(named.classes) != len(own):
            raise ConfigError(f"{where} has {len(own)} classes, {classes} {len(named.classes)}: leave out --classes")
        return opened(network, named.classes if named else own, classes or "its id2label")
    if kind == "python":
        found = import_segmenter(where)
        given = getattr(found, "classes", None)
        if named is None and isinstance(given, ClassSet):
            named, classes = ids_of(given), f"{where}.classes"
        elif named is None and isinstance(given, Iterable):
            named, classes = ids_of(classes_of([str(name) for name in given])), f"{where}.classes"
    source, chosen = _classes(text, Path(where), classes, named, data)
    names = chosen.classes.names
    if kind == "onnx":
        return opened(OnnxSegmenter(Path(where), names, numbers, report), chosen.classes, source)
    if kind == "arrays":
        return opened(ArraySegmenter(Path(where), Numbers(names, numbers, report)), chosen.classes, source)
    if kind == "labels":
        labels = LabelSegmenter(Path(where), chosen, CONFIDENCE if confidence is None else confidence, report)
        return opened(labels, chosen.classes, source)
    predicts = CallableSegmenter(getattr(found, "predict", found), Numbers(names, numbers, report))
    return opened(predicts, chosen.classes, source)


def _classes(
    text: str, place: Path, classes: str | None, named: ClassFile | None, data: ClassSet | None
) -> tuple[str, ClassFile]:
    """Classes and where they are from: as given, of the nearest class file, or of the data."""
    if named is not None:
        return str(classes), named
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
