"""The meaning of a segmenter's numbers: logits, probabilities, or scores that are to be normalised."""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.errors import ConfigError, DataError, listed
from segcode.interpolation import at_cells
from segcode.tensors import shape_text

Meaning = Literal["logits", "probabilities", "scores"]
"""Logits or log-probabilities; probabilities, whose sum over the classes is 1; or other numbers of at least 0, such as
sigmoids, which are divided by their sum."""

FLOOR: Final = 1e-6
"""Probabilities below this are raised to it before their log is taken."""

TOLERANCE: Final = 0.01
"""Largest distance from 1 of the sum of probabilities over the classes: half precision and 8 bits round them."""

TOTALS: Final = (100.0, 255.0)
"""The sums of percentages, and of probabilities in bytes."""

OVERSHOOT: Final = 0.1
"""Probabilities may lie this far below 0, as bicubic resampling overshoots."""


MOST: Final = 2**26
"""Larger outputs are reduced to this many numbers: 268 MB. The image brings them back to its own size."""


class Found(NamedTuple):
    """The shape and range of an output.

    Attributes:
        shape: classes, rows and columns.
        lowest: minimum of the numbers.
        highest: maximum of the numbers.
        least_sum: minimum of the sums over the classes.
        greatest_sum: maximum of the sums over the classes.
        meaning: stated or detected.
    """

    shape: tuple[int, ...]
    lowest: float
    highest: float
    least_sum: float
    greatest_sum: float
    meaning: Meaning

    def __str__(self) -> str:
        return (
            f"{shape_text(self.shape)} numbers from {self.lowest:.4g} to {self.highest:.4g}, whose sums over the "
            f"classes are {self.least_sum:.4g} to {self.greatest_sum:.4g}"
        )


class Numbers:
    """Turns outputs into logits. All outputs must have the meaning of the first."""

    def __init__(
        self,
        classes: tuple[str, ...] = (),
        stated: Meaning | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Expect outputs of a segmenter.

        Args:
            classes: their names; without them, any two or more are taken.
            stated: the meaning of the numbers; by default the first output decides.
            report: called with one line when the meaning is settled.
        """
        self.found: Found | None = None
        self.classes, self._report = classes, report
        self._meaning, self._because = stated, "as stated"

    def state(self, meaning: Meaning, source: str) -> None:
        """Set the meaning of the numbers. Raises ConfigError if another one is set."""
        if self._meaning not in (None, meaning):
            raise ConfigError(f"numbers are stated as {self._meaning}, but {source} says {meaning}: state one of them")
        self._meaning = meaning

    def logits(self, output: Any, source: str, size: tuple[int, int] | None = None) -> Float[ndarray, "M h w"]:
        """An output as logits in single precision; of more than `MOST` numbers, the means of squares of cells.

        Args:
            output: an array, a tensor or nested lists of floating-point numbers (M, h, w) or (1, M, h, w).
            source: name of the output in errors.
            size: rows and columns of the image, where the output is not that of a network of fixed size.

        Raises:
            DataError: if it has another shape, integers, other classes or NaN, or if its numbers contradict the
                meaning that is stated or that the first output had.
        """
        output = _floating(output, source)
        shape = tuple(output.shape)
        self._check_shape(shape, source, size)
        array = _reduced(output)
        sums = array.sum(0)
        lowest, highest, least, greatest = (float(one) for one in (array.min(), array.max(), sums.min(), sums.max()))
        if not np.isfinite([lowest, highest, least, greatest]).all():
            raise DataError(f"{source} has NaN or infinite numbers: give finite logits, or probabilities")
        found = Found(shape, lowest, highest, least, greatest, self._meaning or "logits")
        found = found._replace(meaning=self._meaning or _guessed(found, source))
        if problem := _contradiction(found):
            raise DataError(f"{source} has {found}: these are no {found.meaning}, {self._because}: {problem}")
        if found.meaning == "logits" and lowest >= 0 and np.allclose(np.exp(-array).sum(0), 1, atol=TOLERANCE):
            raise DataError(f"{source} has {found}: these are negative log-probabilities: give them with a minus sign")
        if self._meaning is None or self.found is None:
            floor = "" if found.meaning == "logits" else f"; their log is taken, {FLOOR:g} for smaller ones"
            self._report(f"{source} has {found}: taken for {found.meaning}{floor}")
            self._because = self._because if self._meaning else f"which {source} was taken for"
        self._meaning, self.found = found.meaning, found
        if found.meaning == "logits":
            return array
        array = np.maximum(array / sums if found.meaning == "scores" else array, np.float32(FLOOR))
        return np.log(array, out=array)

    def _check_shape(self, shape: tuple[int, ...], source: str, size: tuple[int, int] | None) -> None:
        names = self.classes
        if len(shape) != 3 or min(shape) == 0 or shape[0] < 2:
            raise DataError(f"{source} is {shape_text(shape)}: give classes x rows x columns, 2 classes or more")
        if names and shape[0] != len(names) and shape[2] == len(names):
            raise DataError(
                f"{source} is {shape_text(shape)}, with the classes last: put them first, as transpose(2, 0, 1)"
            )
        if names and shape[0] != len(names):
            raise DataError(
                f"{source} is {shape_text(shape)}, so it has {shape[0]} classes, but {len(names)} are named "
                f"({listed(names)}): name them all, in order"
            )
        if size is not None and size[0] != size[1] and shape[1:] == size[::-1]:
            raise DataError(
                f"{source} is {shape_text(shape)} for an image of {shape_text(size)} (rows x columns): put rows before "
                "columns, as transpose(0, 2, 1)"
            )


def _floating(output: Any, source: str) -> Any:
    """An array or a tensor of floating-point numbers; a batch of one is its only item."""
    if not (is_tensor := hasattr(output, "detach")):
        try:
            output = np.asanyarray(output)
        except ValueError:
            raise DataError(f"{source} is no array: give classes x rows x columns") from None
    if not (output.is_floating_point() if is_tensor else output.dtype.kind == "f"):
        kind = str(output.dtype).removeprefix("torch.")
        raise DataError(
            f"{source} has numbers of the kind {kind}: give logits or probabilities as floating-point numbers; "
            "label maps are given as labels:DIR"
        )
    return output[0] if output.ndim == 4 and len(output) == 1 else output


def _reduced(output: Any) -> Float[ndarray, "M h w"]:
    """Single precision, on a coarser grid if there are more than `MOST` numbers; made class by class."""
    side = math.ceil(math.sqrt(math.prod(output.shape) / MOST))
    if side == 1:
        return _single(output)
    size = math.ceil(output.shape[1] / side), math.ceil(output.shape[2] / side)
    reduced = np.empty((len(output), *size), np.float32)
    for number, plane in enumerate(output):
        reduced[number] = at_cells(_single(plane)[None], size)[0]
        if isinstance(mapped := getattr(output, "_mmap", None), mmap.mmap) and sys.platform != "win32":
            mapped.madvise(mmap.MADV_DONTNEED)  # else all of the file stays in memory
    return reduced


def _single(output: Any) -> Float[ndarray, "*n"]:
    if hasattr(output, "detach"):  # a tensor of PyTorch
        return np.asarray(output.detach().float().cpu().numpy())
    with np.errstate(over="ignore"):  # infinity is refused
        return np.array(output, np.float32)


def _guessed(found: Found, source: str) -> Meaning:
    """The meaning that the range suggests. Raises DataError if there are several."""
    if _sums_to_one(found):
        return "probabilities"
    shares = any(abs(found.least_sum - total) + abs(found.greatest_sum - total) < 0.01 * total for total in TOTALS)
    many = found.shape[1:] != (1, 1)  # one pixel alone may have any logits
    if many and found.lowest >= 0 and found.least_sum > 0 and (found.highest <= 1 or shares):
        raise DataError(
            f"{source} has {found}: neither probabilities, whose sums are 1, nor surely logits: state which by numbers "
            "(--numbers): logits, or scores to be divided by their sums"
        )
    return "logits"


def _contradiction(found: Found) -> str | None:
    """The reason why the numbers cannot have their meaning, and what they are instead; None if they can."""
    if found.meaning == "logits":
        return "they are probabilities" if _sums_to_one(found) else None
    if found.meaning == "probabilities":
        return None if _sums_to_one(found) else "their sums are not 1, so they are logits, or scores"
    if found.lowest < 0:
        return "some are below 0, so they are logits"
    return "some sums are 0" if found.least_sum <= 0 else None


def _sums_to_one(found: Found) -> bool:
    return found.lowest >= -OVERSHOOT and found.least_sum > 1 - TOLERANCE and found.greatest_sum < 1 + TOLERANCE
