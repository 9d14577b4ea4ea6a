"""Many images to maps, in one process: `predict`, `refine-folder`, each worker of `batch`, and your own workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.data.files import name_of
from segcode.data.folder import read_partial_labels
from segcode.data.images import read_image
from segcode.data.labels import LabelFile
from segcode.data.prefetch import pipelined
from segcode.errors import SegcodeError
from segcode.export.maps import are_written, map_files, write_map
from segcode.field.constants import FieldConstants
from segcode.refinement.refiner import Refiner
from segcode.segmenters.specification import OpenedSegmenter, open_segmenter
from segcode.tensors import Image, LabelImage
from segcode.truth.mask import partial_truth
from segcode.truth.truth import Extent


class Request(NamedTuple):
    """An image to be labelled.

    Attributes:
        image: its file.
        name: of its results below the output folder, and for the segmenter.
        labels: the file of its partial labels, as `read_partial_labels` takes it; empty without.
    """

    image: str
    name: str
    labels: str = ""


class Outcome(NamedTuple):
    """One line on a request.

    Attributes:
        name: that of the request.
        problem: why there is no map; empty if there is one.
        labelled: pixels of known class.
        expected_change: the share of the map that the best next label is expected to change, 0..1.
        digest: SHA-256 of NAME_labels.png.
        notes: what is unusual in the labels, though they can be read.
    """

    name: str
    problem: str = ""
    labelled: int = 0
    expected_change: float = 0.0
    digest: str = ""
    notes: str = ""


class _Given(NamedTuple):
    image: Image
    labels: LabelFile | None


class _Map(NamedTuple):
    image: Image
    labels: LabelImage
    uncertainty: Float[ndarray, "H W"]
    outcome: Outcome


class BatchRefiner:
    """Writes the maps of batches of images, refined by partial labels where there are some.

    The segmenter is opened once, by the process that constructs the object: give Ray Data or a pool of processes the
    class and its arguments.
    """

    def __init__(
        self,
        segmenter: str | Callable[[], OpenedSegmenter],
        out: str | Path,
        *,
        constants: FieldConstants | None = None,
        extents: Mapping[str, Extent] | None = None,
        ranks: bool = True,
    ) -> None:
        """Open the segmenter.

        Args:
            segmenter: its name, or what opens it, as `partial(open_segmenter, "onnx:net.onnx", classes="camvid")`.
            out: folder of the results. Each file in it is complete or not there, whoever is killed.
            constants: of the Gaussian model; the shipped ones if not given.
            extents: what the labels of a class say of other pixels; "part" if not given.
            ranks: whether `expected_change` is computed; it is 0 otherwise.

        Raises:
            CheckpointError: if there is no such model, or it is damaged.
            ConfigError: if there is no such segmenter, or an extent is that of a class that it lacks.
        """
        self.opened = open_segmenter(segmenter) if isinstance(segmenter, str) else segmenter()
        self._refiner = Refiner(self.opened.segmenter, constants)
        self._out, self._ranks = Path(out), ranks
        self._extents = {self.opened.classes.index(name): extent for name, extent in (extents or {}).items()}

    def __call__(self, batch: Mapping[str, Sequence[str] | ndarray]) -> dict[str, ndarray]:
        """Write the maps of a batch, and return a column for each attribute of `Outcome`.

        No error of an image stops the others.

        Args:
            batch: the columns "image", "name" (that of the file if not given) and "labels", as in `Request`.
        """
        images = batch["image"]
        names = batch["name"] if "name" in batch else [name_of(Path(image)) for image in images]
        labels = batch["labels"] if "labels" in batch else [""] * len(images)
        outcomes = list(self.refine(list(map(Request, images, names, labels)), Exception))
        return {column: np.array([getattr(one, column) for one in outcomes]) for column in Outcome._fields}

    def refine(self, requests: Sequence[Request], errors: type[Exception] = SegcodeError) -> Iterator[Outcome]:
        """Write the maps in order; meanwhile the next image is read and the last map written.

        Args:
            requests: images and labels.
            errors: those that are the problem of an image; others are raised.
        """
        results = pipelined(requests, self._read, self._refine, self._write, errors)
        for request, result in zip(requests, results, strict=True):
            yield result if isinstance(result, Outcome) else Outcome(request.name, _described(request, result))

    def _read(self, request: Request) -> _Given:
        image = read_image(Path(request.image))
        if not request.labels:
            return _Given(image, None)
        size = image.shape[0], image.shape[1]
        return _Given(image, read_partial_labels(Path(request.labels), size, self.opened.classes))

    def _refine(self, request: Request, given: _Given) -> _Map:
        result, notes = self._refiner.set_image(given.image, request.name), ""
        if given.labels is not None:
            truth = partial_truth(given.labels.labels, len(self.opened.classes), self._extents)
            result, notes = self._refiner.refine(truth), "\n".join(given.labels.notes)
        change = self._refiner.expected_change() if self._ranks else 0.0
        outcome = Outcome(request.name, "", int(result.truth.known_mask.sum()), change, notes=notes)
        return _Map(given.image, result.labels, result.entropy(), outcome)

    def _write(self, request: Request, made: _Map) -> Outcome:
        place = self._out / request.name
        write_map(place, made.image, made.labels, made.uncertainty, self.opened.classes)
        return made.outcome._replace(digest=digest_of(place))


def _described(request: Request, error: Exception) -> str:
    text = str(error) if isinstance(error, SegcodeError) else f"{type(error).__name__}: {error}"
    named = any(file and file in text for file in (request.image, request.labels))
    return text if named else f"{request.image}: {text}"


def digest_of(place: Path) -> str:
    """The SHA-256 of the class indices at a path without its ending; empty unless all files of the map are there."""
    return sha256(map_files(place)[0].read_bytes()).hexdigest() if are_written(place) else ""
