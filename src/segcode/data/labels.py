"""Label images: ids in one channel or colours on disk, class indices in memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Integer
from numpy import ndarray
from PIL import Image as Pillow
from pydantic import BaseModel, ValidationError

from segcode.classes import ClassSet, Colour
from segcode.data.images import NOTE, open_image, raw_modes, read_image, result_note, upright
from segcode.errors import DataError, TruthError, listed, nearest
from segcode.files import replacing
from segcode.tensors import IGNORE, LabelImage

MOST_STRAYS: Final = 0.01
"""Largest share of pixels of a label file in colours of no class. Scaling or JPEG changes all borders between classes,
which are several percent of a picture."""

_PHOTOMETRIC: Final = 262  # the tag of a TIFF: 0 where white is 0

Meanings = Mapping[int, int]
"""The class index, or IGNORE, of ids in a label file."""


class LabelFile(NamedTuple):
    """A label image, and what to know of its file.

    Attributes:
        labels: class indices (H, W), void = IGNORE.
        notes: what is unusual in the file, though it can be read.
        complete: whether it is a map of every pixel that segcode made: void was painted there, and is not unknown.
    """

    labels: LabelImage
    notes: tuple[str, ...] = ()
    complete: bool = False


class _Declaration(BaseModel):
    """What a label file that segcode wrote says of itself: the name of each id, the id of void, and `complete`."""

    ids: dict[int, str]
    void: int
    complete: bool = False


def read_index_labels(path: Path, classes: ClassSet, train_ids: Meanings) -> LabelFile:
    """A label file of ids in one channel.

    A file that `write_labels` wrote says itself which class each id is. In others ids are what the pixels store. In a
    palette, or with fewer than 8 bits, they may also be grey values or the colours of the classes, because programs
    that make files smaller renumber ids; if more than one of these readings is possible the file is refused.

    Args:
        path: greyscale or palette, 1 to 16 bits.
        classes: names and colours of the classes.
        train_ids: the class index, or IGNORE, of every id that the file may have.

    Raises:
        DataError: if the file is unreadable, lossy or in colours, has unknown ids, or ids that can be read in two ways.
    """
    with open_image(path) as opened:
        if changing := _changes_ids(opened):
            raise DataError(f"{path} is {changing}, which changes ids: save labels as greyscale (L) PNG")
        bits, declared = _bits(opened), opened.info.get(NOTE)
        picture = upright(opened)
        if picture.mode not in ("1", "L", "P") and not picture.mode.startswith("I;16"):
            raise DataError(
                f"{path} has pixels of mode {picture.mode}: labels are class ids in one channel, "
                "so save the ids as greyscale (L) PNG"
            )
        ids = _stored(picture, bits)
        palette = _palette(picture)
    present = np.flatnonzero(np.bincount(ids.ravel())).tolist()
    greys = _greys(present, bits, palette)
    if declared is not None:  # written as grey values of 8 bits, whatever was done to the file since
        if len(greys) < len(present):
            raise DataError(f"{path} was greyscale and has colours now: take the file as segcode wrote it")
        declaration = _declaration(path, str(declared))
        known = _declared(path, declaration, greys.values(), classes)
        return LabelFile(_replaced(ids, {i: known[grey] for i, grey in greys.items()}), (), declaration.complete)
    readings = {
        "ids": {i: train_ids[i] for i in present if i in train_ids},
        "grey values": {i: train_ids[grey] for i, grey in greys.items() if grey in train_ids},
        "colours": _by_colour(present, palette, classes),
    }
    complete = [name for name, reading in readings.items() if len(reading) == len(present)]
    if not complete:
        unknown = [i for i in present if i not in train_ids]
        depth = f" in {bits} bits" if bits != 8 else ""
        raise DataError(
            f"{path} has the ids {listed(unknown)}{depth}, which are neither a class nor void "
            f"(those are {listed(sorted(train_ids))}): correct the labels, or declare the ids"
        )
    name = complete[0]
    for other in {"colours", *complete} - {name}:
        for i, meaning in readings[other].items():
            if meaning != readings[name][i]:
                raise DataError(
                    f"{path} has {'a palette' if palette else f'{bits}-bit pixels'}, and its {name} say other "
                    f"classes than its {other}: {i} is {_title(readings[name][i], classes)} or "
                    f"{_title(meaning, classes)}: save the ids as greyscale (L) PNG of 8 bits"
                )
    notes = () if name == "ids" else (f"{path} is read by its {name}, since its ids are of no class",)
    return LabelFile(_replaced(ids, readings[name]), notes)


def read_colour_labels(path: Path, train_ids: Mapping[Colour, int]) -> LabelFile:
    """A label file that is painted in the classes' colours; a few pixels of other colours are void.

    Raises:
        DataError: if the file is unreadable, or more than `MOST_STRAYS` of it has colours that are not in `train_ids`.
    """
    red, green, blue = np.moveaxis(read_image(path).astype(np.uint32), -1, 0)
    packed = red << 16 | green << 8 | blue
    present, index, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = [(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in present]
    labels = np.array([train_ids.get(c, IGNORE) for c in colours], np.uint8)[index].reshape(packed.shape)
    unknown = [place for place, colour in enumerate(colours) if colour not in train_ids]
    if not unknown:
        return LabelFile(labels)
    strays = int(counts[unknown].sum())
    named = f"{path} has {strays} pixels in {len(unknown)} colours of no class, first {colours[unknown[0]]}"
    if strays > MOST_STRAYS * packed.size:
        raise DataError(f"{named}: labels must not be scaled smoothly or saved as JPEG; take the original file")
    return LabelFile(labels, (f"{named}: they count as void",))


def require_size(path: Path, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raises TruthError if a file does not have the rows and columns of its image."""
    if shape != size:
        raise TruthError(
            f"{path} is {shape[1]} x {shape[0]} pixels (width x height), the image {size[1]} x {size[0]}: "
            "draw it on the image itself, or scale it to that size without smoothing"
        )


def encode_labels(labels: LabelImage, classes: ClassSet, raw: bool = False, complete: bool = False) -> bytes:
    """Class indices (H, W) as a greyscale PNG that says which class each id is; void is 255.

    With `raw` the ids are those of the data set's files, as `ClassSet.to_raw` gives them; `complete` is as in
    `LabelFile`.
    """
    ids = (classes.raw_ids if raw else ()) or range(len(classes))
    void = classes.raw_void if raw else IGNORE
    content = io.BytesIO()
    note = result_note(ids=dict(zip(ids, classes.names, strict=True)), void=void, complete=complete)
    Pillow.fromarray(classes.to_raw(labels) if raw else labels).save(content, format="PNG", pnginfo=note)
    return content.getvalue()


def write_labels(path: Path, labels: LabelImage, classes: ClassSet, raw: bool = False, complete: bool = False) -> None:
    """Write `encode_labels` by `replacing`; every label file that segcode makes is written here."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(encode_labels(labels, classes, raw, complete))


def require_classes(files: Iterable[Path], classes: ClassSet) -> None:
    """Raises DataError if one of the label files that segcode wrote to a folder has other classes than new ones get."""
    for path in files:
        with open_image(path, header=True) as picture:
            note = picture.info.get(NOTE)
        if note is not None and (names := tuple(_declaration(path, str(note)).ids.values())) != classes.names:
            raise DataError(
                f"{path} has the classes {listed(names)}, and the model {listed(classes.names)}: give another folder "
                "with -o, or leave out --resume"
            )


def _declaration(path: Path, text: str) -> _Declaration:
    try:
        return _Declaration.model_validate_json(text)
    except ValidationError:
        raise DataError(f"{path} is a picture that segcode made, and no label image: give labels") from None


def _declared(path: Path, declaration: _Declaration, present: Iterable[int], classes: ClassSet) -> dict[int, int]:
    meanings = {declaration.void: IGNORE}
    for i in present:
        name = declaration.ids.get(i)
        if name is not None and name not in classes.names:
            cure = "give the class that name, or save the ids again as greyscale PNG"
            hint = nearest(name, classes.names)
            raise DataError(f"{path} was written for other classes, and has '{name}' ({hint}): {cure}")
        if name is not None:
            meanings[i] = classes.index(name)
        elif i not in meanings:
            raise DataError(f"{path} has the id {i}, which it does not declare: write it again")
    return meanings


def _changes_ids(picture: Pillow.Image) -> str | None:
    """The format of a picture that is still to be decoded, if its pixels are not what was saved or not as stored."""
    if picture.format in ("JPEG", "MPO"):
        return "a JPEG"
    if picture.info.get("compression") in ("jpeg", "tiff_jpeg"):
        return "a TIFF with the compression of JPEG"
    if picture.mode == "L" and getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        return "a negative (a TIFF in which white is 0)"
    arguments = (getattr(picture, "tile", None) or [[None]])[0][-1]
    if picture.format == "PPM" and isinstance(arguments, tuple) and arguments[-1] != 255:
        return f"a PGM with a maximum of {arguments[-1]}, not 255"
    return None


def _bits(picture: Pillow.Image) -> int:
    """Bits of a pixel in the file of a picture in one channel that is still to be decoded."""
    if picture.mode == "1":
        return 1
    if picture.mode.startswith("I"):
        return 16
    modes = raw_modes(picture)
    found = re.match(r"L;([24])", modes[0]) if modes else None
    return int(found[1]) if found else 8


def _stored(picture: Pillow.Image, bits: int) -> Integer[ndarray, "H W"]:
    """The numbers in the file; Pillow stretches greys of 2 and 4 bits to 0..255."""
    values = np.asarray(picture).astype(np.uint16)
    return values // (255 // (2**bits - 1)) if picture.mode == "L" and bits < 8 else values


def _palette(picture: Pillow.Image) -> list[Colour]:
    """Empty if there is none."""
    values = picture.getpalette("RGB") or [] if picture.mode == "P" else []
    return list(zip(values[0::3], values[1::3], values[2::3], strict=True))


def _greys(present: Iterable[int], bits: int, palette: Sequence[Colour]) -> dict[int, int]:
    """The grey value 0..255 of ids, which is another number in a palette or in few bits."""
    if palette:
        return {i: palette[i][0] for i in present if i < len(palette) and len(set(palette[i])) == 1}
    return {i: i * 255 // (2**bits - 1) if bits < 8 else i for i in present}


def ids_of_colours(classes: ClassSet) -> dict[Colour, int]:
    """The index of each class by its colour; black is void, unless it is a class's."""
    return {(0, 0, 0): IGNORE} | {colour: index for index, colour in enumerate(classes.colours)}


def _by_colour(present: Sequence[int], palette: Sequence[Colour], classes: ClassSet) -> dict[int, int]:
    """The class whose colour an id has in the palette, black being void; nothing if the palette is another one.

    It is another one if it has not one colour of a class, or two others: one may be that of void.
    """
    table = ids_of_colours(classes)
    found = {i: table[palette[i]] for i in present if i < len(palette) and palette[i] in table}
    if len(set(classes.colours)) < len(classes) or set(found.values()) <= {IGNORE} or len(found) < len(present) - 1:
        return {}
    return found


def _replaced(ids: Integer[ndarray, "H W"], meanings: Meanings) -> LabelImage:
    table = np.zeros(max(meanings) + 1, np.uint8)
    table[list(meanings)] = list(meanings.values())
    return np.take(table, ids)


def _title(index: int, classes: ClassSet) -> str:
    return "void" if index == IGNORE else f"'{classes.names[index]}'"
