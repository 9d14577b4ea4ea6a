"""The meaning of a segmenter's numbers: logits, probabilities, or scores that are to be normalised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from segcode.errors import ConfigError, DataError, listed
from segcode.tensors import shape_text

Meaning = Literal["logits", "probabilities", "scores"]
"""Logits or log-probabilities; probabilities, whose sum over the classes is 1; or other numbers of at least 0, such as
sigmoids, which are divided by their sum."""

FLOOR: Final = 1e-6
"""Probabilities below this are raised to it before their log is taken."""

TOLERANCE: Final = 0.01
"""Largest distance from 1 of the sum of probabilities over the classes: half precision and 8 bits round them."""

WHOLES: Final = (100.0, 255.0)
"""The sums of percentages, and of probabilities in bytes."""

OVERSHOOT: Final = 0.1
"""Probabilities may lie this far below 0, as bicubic resampling overshoots."""


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
        """An output as logits in single precision.

        Args:
            output: an array, a tensor or nested lists of floating-point numbers (M, h, w) or (1, M, h, w).
            source: name of the output in errors.
            size: rows and columns of the image, where the output is not that of a network of fixed size.

        Raises:
            DataError: if it has another shape, integers, other classes or NaN, or if its numbers contradict the
                meaning that is stated or that the first output had.
        """
        array = _array(output, source)
        self._check_shape(array.shape, source, size)
        sums = array.sum(0)
        lowest, highest, least, greatest = (float(one) for one in (array.min(), array.max(), sums.min(), sums.max()))
        if not np.isfinite([lowest, highest, least, greatest]).all():
            raise DataError(f"{source} has NaN or infinite numbers: give finite logits, or probabilities")
        found = Found(array.shape, lowest, highest, least, greatest, self._meaning or "logits")
        found = found._replace(meaning=self._meaning or _guessed(found, source))
        if problem := _contradiction(found):
            raise DataError(f"{source} has {found}: these are no {found.meaning}, {self._because}: {problem}")
        if self._meaning is None or self.found is None:
            floor = "" if found.meaning == "logits" else f"; their log is taken, {FLOOR:g} for smaller ones"
            self._report(f"{source} has {found}: taken for {found.meaning}{floor}")
            self._because = self._because if self._meaning else f"which {source} was taken for"
        self._meaning, self.found = found.meaning, found
        if found.meaning == "logits":
            return array
        return np.log(np.maximum(array / sums if found.meaning == "scores" else array, np.float32(FLOOR)))

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


def _array(output: Any, source: str) -> Float[ndarray, "..."]:
    """Floating-point numbers in single precision; a batch of one is its only item."""
    if hasattr(output, "detach"):  # a tensor of PyTorch
        output = output.detach().cpu()
        output = (output.float() if output.is_floating_point() else output).numpy()
    try:
        output = np.asarray(output)
    except ValueError:
        raise DataError(f"{source} is no array: give classes x rows x columns") from None
    if output.dtype.kind != "f":
        raise DataError(
            f"{source} has numbers of the kind {output.dtype}: give logits or probabilities as floating-point numbers; "
            "label maps are given as labels:DIR"
        )
    with np.errstate(over="ignore"):  # infinity is refused
        array = np.array(output, np.float32)
    return array[0] if array.ndim == 4 and len(array) == 1 else array


def _guessed(found: Found, source: str) -> Meaning:
    """The meaning that the range suggests. Raises DataError if there are several."""
    if _sums_to_one(found):
        return "probabilities"
    shares = any(abs(found.least_sum - whole) + abs(found.greatest_sum - whole) < 0.01 * whole for whole in WHOLES)
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
