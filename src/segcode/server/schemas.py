"""Bodies of the HTTP interface."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from segcode.server.journal import Comment, State
from segcode.server.marks import Sent


class ClassInfo(BaseModel):
    """A class: a table of the class file, and a colour that colour-blind people can tell from the others."""

    name: str
    colour: tuple[int, int, int]
    id: int
    key: str | None
    of: tuple[str, ...] | None
    was: tuple[str, ...] | None
    distinct: tuple[int, int, int]


class ModelInfo(BaseModel):
    """The model, the images that it is for, and a name of the folder of work that no other folder has."""

    name: str
    purpose: str
    classes: list[ClassInfo]
    work: str


class ImageInfo(BaseModel):
    """An image of the list."""

    name: str
    width: int
    height: int
    state: State
    problem: str | None
    """Why it cannot be worked on, with the cure."""
    flagged: bool
    comments: dict[str, str]
    """The newest of each person."""
    finished_by: str | None
    """Who called it done, if somebody did."""
    uploaded: bool
    """Whether it can be removed."""
    uncertainty: float | None
    expected_change: float | None
    """As `/score` gives them, if they are known."""


class DocumentInfo(BaseModel):
    """The state of the work on an image."""

    name: str
    state: State
    marks: int
    undo: bool
    redo: bool
    flagged: bool
    comments: dict[str, str]
    finished_by: str | None
    people: dict[str, datetime]
    """When each person did something to it last."""


class ScoreInfo(BaseModel):
    """How much an image needs a person."""

    uncertainty: float
    """Mean entropy of the pixels in nats; that of labelled ones is 0."""
    expected_change: float
    """The share of the map that the best next label is expected to change."""


class Done(Sent):
    """Whether an image is done."""

    done: bool


class Note(Sent):
    """A flag or a comment on an image; what is left out stays as it is."""

    flagged: bool | None = None
    comment: Comment | None = None


class Health(BaseModel):
    """That the server is up, and the memory that open images take."""

    status: Literal["UP"]
    model_class: str
    images_in_memory: int
    bytes_in_memory: int
