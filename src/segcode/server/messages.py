"""Messages of the WebSocket: small JSON either way, and maps as one binary frame."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, FiniteFloat, TypeAdapter

from segcode.server.journal import Comment, Review
from segcode.server.marks import AnyMark, Label, MarkId, Seed, Sent
from segcode.tensors import LabelImage


class Draw(Sent):
    """A mark that is still being drawn: the map follows it, nothing is kept. None ends it."""

    type: Literal["draw"]
    mark: AnyMark | None


class Add(Sent):
    """A mark to keep. It may be sent again: the same id is kept once."""

    type: Literal["add"]
    mark: AnyMark


class Fill(Sent):
    """The connected region of the map around a pixel (x, y) is of a class; without one, of the class that it has."""

    type: Literal["fill"]
    id: MarkId
    x: FiniteFloat
    y: FiniteFloat
    label: Label | None


class Accept(Sent):
    """All pixels of a class are those that the map has: it is excluded elsewhere."""

    type: Literal["accept"]
    id: MarkId
    label: Label


class Step(Sent):
    """One mark back, or forth again."""

    type: Literal["undo", "redo"]


class SetDone(Sent):
    """The image is done, or not: its labels and its truth are written to the folder of work."""

    type: Literal["done"]
    done: bool


class Verdict(Sent):
    """A second person accepts the map of an image as it is now, or sends the image back with a comment."""

    review: Review
    comment: Comment = ""


class SetReview(Verdict):
    """The same over the WebSocket, after the marks that were sent before it."""

    type: Literal["review"]


class Watch(Sent):
    """Whether the uncertainty is sent after each map."""

    type: Literal["watch"]
    uncertainty: bool


class Look(Sent):
    """Ask where to label next. Answered by `places`."""

    type: Literal["look"]


class Reach(Sent):
    """Ask where the map would change if a mark were added. Answered by a frame, `reach`."""

    type: Literal["reach"]
    mark: AnyMark


class Sample(Sent):
    """Ask for samples. Answered by a frame of eight small maps."""

    type: Literal["sample"]
    seed: Seed


Request: TypeAlias = Annotated[
    Draw | Add | Fill | Accept | Step | SetDone | SetReview | Watch | Look | Reach | Sample, Field(discriminator="type")
]
REQUEST: TypeAdapter[Request] = TypeAdapter(Request)


def frame(header: Mapping[str, Any], planes: Sequence[LabelImage]) -> bytes:
    """Planes of bytes of one size (rows, columns), with a header.

    The layout is a length of four bytes, little-endian; a JSON header of that length, to which `width`, `height` and
    `planes` (their number) are added; then the planes, one after the other, row by row, as one zlib stream.
    """
    height, width = planes[0].shape
    text = json.dumps({**header, "width": width, "height": height, "planes": len(planes)}).encode()
    body = zlib.compressobj(1)
    packed = b"".join([body.compress(plane.tobytes()) for plane in planes])
    return struct.pack("<I", len(text)) + text + packed + body.flush()
