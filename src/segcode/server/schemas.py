"""Bodies of the HTTP interface."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from segcode.server.marks import Sent


class ClassInfo(BaseModel):
    """A class: its name, its colour, and one that colour-blind people can tell from the others."""

    name: str
    colour: tuple[int, int, int]
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
    state: Literal["untouched", "in work", "done"]
    problem: str | None
    """Why it cannot be worked on, with the cure."""


class DocumentInfo(BaseModel):
    """The state of the work on an image."""

    name: str
    state: Literal["untouched", "in work", "done"]
    marks: int
    undo: bool
    redo: bool


class State(Sent):
    """Whether an image is done."""

    done: bool


class Health(BaseModel):
    """That the server is up, and the memory that open images take."""

    status: Literal["UP"]
    model_class: str
    images_in_memory: int
    bytes_in_memory: int
