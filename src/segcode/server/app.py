"""The HTTP interface, the WebSocket and the page."""

from __future__ import annotations

import asyncio
import errno
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Query, Request, Response, WebSocket
from fastapi import Path as InPath
from fastapi.staticfiles import StaticFiles
from PIL import Image as Pillow
from pydantic import BaseModel, ValidationError
from starlette.routing import Match, Mount
from starlette.types import Scope
from starlette.websockets import WebSocketDisconnect

from segcode.errors import DataError, SegcodeError
from segcode.export.palette import distinct_colours
from segcode.export.runs import coco
from segcode.server.guard import Access, Guard
from segcode.server.journal import Entry
from segcode.server.label_studio import Backend
from segcode.server.label_studio import router as label_studio_router
from segcode.server.label_studio_client import LabelStudio
from segcode.server.library import Encoded, Photograph
from segcode.server.marks import AnyMark
from segcode.server.messages import (
    REQUEST,
    Accept,
    Add,
    Draw,
    Fill,
    Look,
    Sample,
    SetDone,
    StartFrom,
    Step,
    Watch,
    frame,
)
from segcode.server.studio import Room, Studio, Viewer

_ELSEWHERE: Final = "this address has another folder of work now: load the page anew"

STATIC: Final = Path(__file__).parent / "static"

Kind = Literal["labels.png", "ids.png", "colours.png", "coco.json", "truth.png", "marks.json"]
Name = Annotated[str, InPath(description="Of an image, as the list gives it; it may have slashes.")]


class ClassInfo(BaseModel):
    """A class of the model: its name, its colour, and one that stays apart for colour-blind eyes."""

    name: str
    colour: tuple[int, int, int]
    distinct: tuple[int, int, int]


class ModelInfo(BaseModel):
    """The model that is loaded, and a name of the folder of work that is no other folder's."""

    name: str
    classes: list[ClassInfo]
    code_size: int
    work: str


class ImageInfo(BaseModel):
    """An image of the list."""

    name: str
    width: int
    height: int
    state: Literal["untouched", "in work", "done"]


class DocumentInfo(BaseModel):
    """What was done to an image."""

    name: str
    state: Literal["untouched", "in work", "done"]
    marks: int
    undo: bool
    redo: bool


class State(BaseModel):
    """Whether an image is done."""

    done: bool


class Health(BaseModel):
    """That the server is up, and what it holds."""

    status: Literal["UP"]
    model_class: str
    images_in_memory: int
    bytes_in_memory: int


def create_app(
    studio: Studio, model_name: str, access: Access | None = None, label_studio: LabelStudio | None = None
) -> FastAPI:
    """The web application over a studio, which it closes when it ends.

    Args:
        studio: model, images and work.
        model_name: as it was asked for.
        access: who may ask; by default this machine alone.
        label_studio: whose images may be fetched, and who gets predictions; by default nobody.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        studio.close()

    app = FastAPI(
        title="segcode",
        summary="Segmentation maps that can still be bent.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.studio = studio
    app.state.model_name = model_name
    app.state.label_studio = Backend(studio, f"segcode {Path(model_name).name}", label_studio)
    app.add_middleware(Guard, access=access or Access(), most=2 * studio.library.limits.bytes)
    app.add_exception_handler(SegcodeError, _as_bad_request)
    app.add_exception_handler(OSError, _as_full_disk)
    app.include_router(router)
    app.include_router(label_studio_router, responses={**_REFUSED, **_LARGE})
    app.router.routes.append(_Page("/", StaticFiles(directory=STATIC, html=True), name="page"))
    return app


class _Page(Mount):
    """The files of the page. What the interface lacks, such as a method, is not looked for among them."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        own = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and not scope["path"].startswith("/api/")
        return super().matches(scope) if own else (Match.NONE, {})


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


Here = Annotated[Studio, Depends(_studio)]


def _room(name: Name, studio: Here) -> Room:
    try:
        return studio.room(name)
    except KeyError:
        raise HTTPException(404, f"there is no image '{name}': GET /api/images lists them") from None


Opened = Annotated[Room, Depends(_room)]
_MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "There is no such image."}}
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {400: {"description": "It is not possible; `detail` has the cure."}}
_LARGE: Final[dict[int | str, dict[str, Any]]] = {413: {"description": "The file is too large."}}
_FULL: Final[dict[int | str, dict[str, Any]]] = {507: {"description": "It cannot be written; nothing has changed."}}
_WORK: Final = {**_MISSING, **_REFUSED, **_FULL}
_ADDED: Final = {**_WORK, **_LARGE, 409: {"description": "It is for another folder of work."}}
_SENT: Final = {**_REFUSED, **_LARGE, **_FULL}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
router = APIRouter()


@router.get("/health", tags=["server"])
def health(studio: Here) -> Health:
    """Whether the server is up."""
    return Health(
        status="UP", model_class="segcode", images_in_memory=studio.open_images, bytes_in_memory=studio.memory
    )


@router.get("/api/model", tags=["server"])
def model(request: Request, studio: Here) -> ModelInfo:
    """The classes that indices mean, and their colours."""
    names, colours = studio.classes.names, studio.classes.colours
    apart = distinct_colours(len(names))
    classes = [ClassInfo(name=n, colour=c, distinct=d) for n, c, d in zip(names, colours, apart, strict=True)]
    code_size = studio.model.config.code_size
    return ModelInfo(name=request.app.state.model_name, classes=classes, code_size=code_size, work=studio.work)


@router.get("/api/images", tags=["images"])
def images(studio: Here) -> list[ImageInfo]:
    """Every image and how far its work is."""
    return [_info(studio, photograph) for photograph in studio.library.all()]


@router.post("/api/images", tags=["images"], status_code=201, responses=_SENT, openapi_extra=_BODY)
async def upload(
    request: Request,
    studio: Here,
    name: Annotated[str, Query(min_length=1, max_length=255, description="Of the file.")],
) -> ImageInfo:
    """Add an image; it is kept in the folder of work."""
    content, most = await request.body(), studio.library.limits.bytes
    if len(content) > most:
        cure = "scale it down, or start segcode with the folder that it is in"
        raise HTTPException(413, f"'{name}' has more than {most / 2**20:.0f} MiB: {cure}")
    return _info(studio, await asyncio.to_thread(studio.upload, name, content))


@router.get("/api/images/{name:path}/picture", tags=["images"], responses=_WORK, response_class=Response)
def picture(room: Opened) -> Response:
    """The image, as a browser shows it."""
    return _encoded(room.photograph.shown())


@router.get("/api/images/{name:path}/thumbnail", tags=["images"], responses=_WORK, response_class=Response)
def thumbnail(room: Opened) -> Response:
    """The image, small, as JPEG."""
    return _encoded(room.photograph.thumbnail())


@router.get("/api/images/{name:path}/document", tags=["work"], responses=_WORK)
def document(room: Opened) -> DocumentInfo:
    """What was done to an image."""
    return _document(room)


@router.post("/api/images/{name:path}/marks", tags=["work"], status_code=201, responses=_ADDED)
async def add(
    room: Opened, studio: Here, mark: Annotated[AnyMark, Body()], work: Annotated[str | None, Query()] = None
) -> DocumentInfo:
    """Add a mark. The same id is kept once, so asking again after a failure is safe.

    Refused where `work` is given and is not that of `/api/model`: another server has come to this address.
    """
    if work not in (None, studio.work):
        raise HTTPException(409, _ELSEWHERE)
    await studio.write(room, Entry(mark=mark))
    return _document(room)


@router.post("/api/images/{name:path}/undo", tags=["work"], responses=_WORK)
async def undo(room: Opened, studio: Here) -> DocumentInfo:
    """Take the last mark back; there is no end to it."""
    await studio.write(room, Entry(step="undo"))
    return _document(room)


@router.post("/api/images/{name:path}/redo", tags=["work"], responses=_WORK)
async def redo(room: Opened, studio: Here) -> DocumentInfo:
    """Bring the last mark back that was taken back."""
    await studio.write(room, Entry(step="redo"))
    return _document(room)


@router.post("/api/images/{name:path}/state", tags=["work"], responses={**_WORK, **_LARGE})
async def set_state(room: Opened, studio: Here, state: State) -> DocumentInfo:
    """Call an image done, which writes its labels and its truth to the folder of work, or not."""
    await studio.set_done(room, state.done)
    return _document(room)


@router.get("/api/images/{name:path}/export/{kind}", tags=["work"], responses=_WORK, response_class=Response)
async def export(room: Opened, studio: Here, kind: Kind) -> Response:
    """The refined map at the size of the image, or what was painted.

    labels.png has class indices; ids.png the ids of the data set's files, such as Cityscapes label ids; colours.png the
    classes' colours; coco.json run lengths; truth.png the painted classes, 255 elsewhere; marks.json what was done.
    """
    marks, classes = room.document.marks, studio.classes
    name = room.photograph.name
    if kind == "marks.json":
        content = json.dumps([mark.model_dump(mode="json") for mark in marks]).encode()
    elif kind == "truth.png":
        painting = await studio.with_session(room, lambda session: session.painting(marks))
        content = _png(painting.labels)
    else:
        labels = await studio.with_session(room, lambda session: session.final(marks))
        if kind == "coco.json":
            content = json.dumps(coco(room.photograph.path.name, labels, classes)).encode()
        else:
            convert = {"labels.png": lambda x: x, "ids.png": classes.to_raw, "colours.png": classes.colourise}[kind]
            content = _png(convert(labels))
    file = f"{Path(name).name}_{kind}".encode("ascii", "replace").decode().replace('"', "_")
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(content, media_type="image/png" if kind.endswith("png") else "application/json", headers=headers)


@router.websocket("/api/images/{name:path}/live")
async def live(websocket: WebSocket, name: str, work: str | None = None) -> None:
    """Maps that follow what is painted; `docs/page.md` has the messages.

    Refused where `work` is given and is not that of `/api/model`: another server has come to this address.
    """
    studio: Studio = websocket.app.state.studio
    await websocket.accept()
    viewer = Viewer()
    passing_on = asyncio.create_task(_pass_on(viewer, websocket))
    try:
        if work not in (None, studio.work):
            raise DataError(_ELSEWHERE)
        try:
            room = studio.room(name)
        except KeyError:
            raise DataError(f"there is no image '{name}'") from None
        try:
            await studio.enter(room, viewer)
            while (received := await websocket.receive())["type"] == "websocket.receive":
                await _answer(studio, room, viewer, received.get("text") or "")
        finally:
            studio.leave(room, viewer)
    except SegcodeError as problem:
        viewer.tell({"type": "problem", "message": str(problem)})
        viewer.end()
        await passing_on
        await websocket.close(4404)
    finally:
        passing_on.cancel()


async def _pass_on(viewer: Viewer, websocket: WebSocket) -> None:
    try:
        with suppress(WebSocketDisconnect, RuntimeError):  # it is gone, but what it asked for before still counts
            async for message in viewer.messages():
                if isinstance(message, bytes):
                    await websocket.send_bytes(message)
                else:
                    await websocket.send_json(message)
    except Exception:
        await websocket.close(1011)  # else the page would wait for maps that never come
        raise


async def _answer(studio: Studio, room: Room, viewer: Viewer, text: str) -> None:
    """Do what a message asks; what goes wrong is told, and nothing is lost by it."""
    mark = None
    try:
        request = REQUEST.validate_json(text)
        mark = _mark_of(request)
        match request:
            case Draw():
                if request.mark is not None:
                    studio.check(request.mark)
                viewer.draft = request.mark
                room.changed.set()
            case Add():
                await studio.write(room, Entry(mark=request.mark))
                if viewer.draft is not None and viewer.draft.id == request.mark.id:
                    viewer.draft = None
            case Fill(x=x, y=y, label=label, id=made):
                await studio.write_made(room, lambda s, marks: s.region(marks, x, y, label, made), made)
            case Accept(label=label, id=made):
                await studio.write_made(room, lambda s, marks: s.accept(marks, label, made), made)
            case Step(type=step):
                await studio.write(room, Entry(step=step))
            case SetDone(done=done):
                await studio.set_done(room, done)
            case Watch(uncertainty=uncertainty):
                viewer.uncertainty = uncertainty
                room.changed.set()
            case Look():
                marks = room.document.marks
                places = await studio.with_session(room, lambda session: session.look(marks))
                viewer.tell({"type": "places", "places": [place._asdict() for place in places]}, "places")
            case Sample(seed=seed):
                drawn = await studio.sample(room, seed)
                viewer.tell(frame({"type": "samples", "seed": seed}, drawn.pictures), "samples")
            case StartFrom(seed=seed, index=index, id=made):
                await studio.start_from(room, seed, index, made)
        if mark is not None:
            viewer.tell({"type": "saved", "mark": mark})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "message"
        viewer.tell({"type": "problem", "mark": mark, "message": f"{where}: {first['msg']}"})
    except SegcodeError as error:
        viewer.tell({"type": "problem", "mark": mark, "message": str(error)})
    except OSError as error:
        viewer.tell({"type": "unsaved", "mark": mark, "message": _disk(error)})


def _mark_of(request: Any) -> str | None:
    """The id of the mark that a request asks to keep."""
    if isinstance(request, Add):
        return request.mark.id
    return getattr(request, "id", None)


def _info(studio: Studio, photograph: Photograph) -> ImageInfo:
    height, width = photograph.size
    state = studio.state(photograph.name)
    return ImageInfo(name=photograph.name, width=width, height=height, state=state)


def _document(room: Room) -> DocumentInfo:
    return DocumentInfo.model_validate({key: room.describe()[key] for key in DocumentInfo.model_fields})


def _encoded(picture: Encoded) -> Response:
    return Response(picture.content, media_type=picture.media_type)


def _png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Pillow.fromarray(picture).save(content, format="PNG")
    return content.getvalue()


def _disk(error: OSError) -> str:
    cures = {errno.ENOSPC: "free some space", errno.EDQUOT: "free some space", errno.ENOENT: "put it back"}
    cure = cures.get(error.errno or 0, "let segcode write there")
    return f"{error.filename or 'the disk'}: {error.strerror or error}: {cure}; the page keeps what is unsaved"


async def _as_bad_request(_: Request, error: Exception) -> Response:
    return Response(json.dumps({"detail": str(error)}), 400, media_type="application/json")


async def _as_full_disk(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return Response(json.dumps({"detail": _disk(error)}), 507, media_type="application/json")
