"""The HTTP interface and the page."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from PIL import Image as Pillow
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.routing import Match, Mount
from starlette.types import Scope

from segcode.data.folder import CLASS_FILE
from segcode.data.labels import encode_labels
from segcode.errors import DataError, SegcodeError
from segcode.export.choices import Layout, Which
from segcode.export.runs import coco, coco_id
from segcode.palette import distinct_colours
from segcode.server.class_list import ClassList
from segcode.server.guard import LABEL_STUDIO, Access, Amount, Guard
from segcode.server.job import chosen, export_files, zipped
from segcode.server.journal import Entry, Person
from segcode.server.label_studio import Backend
from segcode.server.label_studio import router as label_studio_router
from segcode.server.label_studio_client import LabelStudio
from segcode.server.library import Encoded, Photograph
from segcode.server.live import router as live_router
from segcode.server.marks import AnyMark
from segcode.server.messages import Verdict
from segcode.server.problems import OTHER_WORK, gone, not_written, refused, said, wrong
from segcode.server.schemas import ClassInfo, DocumentInfo, Done, Health, ImageInfo, ModelInfo, Note, ScoreInfo
from segcode.server.studio import OpenImage, Studio
from segcode.tensors import LabelImage

STATIC: Final = Path(__file__).parent / "static"

Kind = Literal["labels.png", "ids.png", "colours.png", "coco.json", "truth.png", "marks.json"]
Name = Annotated[str, InPath(description="Of an image, as the list gives it; it may have slashes.")]
By = Annotated[Person, Query(description="The name of whoever does it, for the journal.")]


def create_app(
    studio: Studio,
    model_name: str,
    access: Access | None = None,
    label_studio: LabelStudio | None = None,
    purpose: str = "",
    class_list: ClassList | None = None,
) -> FastAPI:
    """The web application over a studio, which it closes when it ends.

    Args:
        studio: segmenter, images and work.
        model_name: of the segmenter.
        access: who may send requests; by default this machine alone.
        label_studio: images are fetched from it and predictions sent to it; by default nobody is asked.
        purpose: the images that the model is for, in words.
        class_list: names the classes of the studio; by default it goes to its folder of work.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        restoring = asyncio.create_task(studio.restore())
        yield
        restoring.cancel()
        studio.close()

    app = FastAPI(
        title="segcode",
        summary="Corrects segmentation maps from few labelled pixels.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # behind a proxy the server does not know its own address
    )
    app.state.studio = studio
    app.state.model_name, app.state.purpose = model_name, purpose
    app.state.class_list = class_list or ClassList(studio.segmenter, studio.classes, studio.folder / CLASS_FILE)
    app.state.label_studio = Backend(studio, f"segcode {Path(model_name).name}", label_studio)
    bounds = dict.fromkeys(("/setup", "/predict", "/webhook", "/api/classes"), LABEL_STUDIO)
    bounds["/api/images"] = Amount(2 * studio.library.limits.bytes)
    app.add_middleware(Guard, access=access or Access(), bounds=bounds)
    app.add_exception_handler(RequestValidationError, wrong)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(SegcodeError, refused)
    app.add_exception_handler(OSError, not_written)
    app.include_router(router)
    app.include_router(live_router)
    app.include_router(label_studio_router, responses={**_REFUSED, **_LARGE})
    app.router.routes.append(_Page("/", StaticFiles(directory=STATIC, html=True), name="page"))
    return app


class _Page(Mount):
    """The files of the page; nothing else that the interface lacks is looked for among them."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        own = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and not scope["path"].startswith("/api/")
        return super().matches(scope) if own else (Match.NONE, {})


def _studio(request: Request) -> Studio:
    return request.app.state.studio


Here = Annotated[Studio, Depends(_studio)]


def _image(name: Name, studio: Here) -> OpenImage:
    try:
        return studio.image(name)
    except KeyError:
        raise _missing(name) from None


def _photograph(name: Name, studio: Here) -> Photograph:
    photograph = studio.library.get(name)
    if photograph is None:
        raise _missing(name)
    return photograph


def _missing(name: str) -> HTTPException:
    return HTTPException(404, f"there is no image '{said(name)}': GET /api/images lists them")


Opened = Annotated[OpenImage, Depends(_image)]
Listed = Annotated[Photograph, Depends(_photograph)]
_MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "There is no such image."}}
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {400: {"description": "It is impossible; `detail` has the cure."}}
_LARGE: Final[dict[int | str, dict[str, Any]]] = {413: {"description": "The file is too large."}}
_FULL: Final[dict[int | str, dict[str, Any]]] = {507: {"description": "The disk is full; nothing has changed."}}
_WORK: Final = {**_MISSING, **_REFUSED, **_FULL}
_ADDED: Final = {**_WORK, **_LARGE, 409: {"description": "It is for another folder of work."}}
_REMOVED: Final = {**_WORK, 409: {"description": "It was not uploaded."}}
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
    """The name of the model, the images that it is for, and the classes that indices mean."""
    state = request.app.state
    apart = distinct_colours(len(studio.classes))
    tables = state.class_list.listed.tables
    classes = [ClassInfo(**table, distinct=colour) for table, colour in zip(tables, apart, strict=True)]
    return ModelInfo(name=state.model_name, purpose=state.purpose, classes=classes, work=studio.work)


@router.post("/api/classes", tags=["server"], responses={**_REFUSED, **_FULL})
async def set_classes(request: Request, studio: Here, tables: Annotated[list[dict[str, Any]], Body()]) -> ModelInfo:
    """Write another class list to the class file: its tables, as `docs/page.md` has them. Tabs load the page again.

    Refused if a class of the segmenter is in no class or in two, or if a class that somebody labelled is not at its
    place, under its name or with that among its former ones (`was`).
    """
    await request.app.state.class_list.change(tables, studio)
    return model(request, studio)


@router.get("/api/images", tags=["images"])
def images(studio: Here) -> list[ImageInfo]:
    """Every image and the state of its work."""
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
        raise HTTPException(413, f"'{said(name)}' has more than {most / 2**20:.0f} MiB: {cure}")
    kept = await asyncio.to_thread(studio.upload, name, content)
    return await asyncio.to_thread(_info, studio, kept)


@router.get("/api/images/{name:path}/picture", tags=["images"], responses=_WORK, response_class=Response)
async def picture(photograph: Listed, studio: Here) -> Response:
    """The image, upright, as a browser shows it."""
    return _encoded(await studio.shown(photograph))


@router.get("/api/images/{name:path}/thumbnail", tags=["images"], responses=_WORK, response_class=Response)
async def thumbnail(photograph: Listed, studio: Here) -> Response:
    """The image, small, as JPEG."""
    return _encoded(await studio.thumbnail(photograph))


@router.get("/api/images/{name:path}/document", tags=["work"], responses=_WORK)
def document(image: Opened) -> DocumentInfo:
    """The state of the work on an image."""
    return _document(image)


@router.post("/api/images/{name:path}/marks", tags=["work"], status_code=201, responses=_ADDED)
async def add(
    image: Opened,
    studio: Here,
    mark: Annotated[AnyMark, Body()],
    work: Annotated[str | None, Query()] = None,
    by: By = "",
) -> DocumentInfo:
    """Add a mark. The same id is kept once, so asking again after a failure is safe.

    Refused where `work` is given and is not that of `/api/model`: another server has come to this address.
    """
    if work not in (None, studio.work):
        raise HTTPException(409, OTHER_WORK)
    await studio.write(image, Entry(mark=mark, by=by))
    return _document(image)


@router.post("/api/images/{name:path}/undo", tags=["work"], responses=_WORK)
async def undo(image: Opened, studio: Here, by: By = "") -> DocumentInfo:
    """Undo the last mark; marks can be undone to the first."""
    await studio.write(image, Entry(step="undo", by=by))
    return _document(image)


@router.post("/api/images/{name:path}/redo", tags=["work"], responses=_WORK)
async def redo(image: Opened, studio: Here, by: By = "") -> DocumentInfo:
    """Redo the mark that was undone last."""
    await studio.write(image, Entry(step="redo", by=by))
    return _document(image)


@router.post("/api/images/{name:path}/state", tags=["work"], responses={**_WORK, **_LARGE})
async def set_state(image: Opened, studio: Here, state: Done, by: By = "") -> DocumentInfo:
    """Mark an image as done, which writes its labels and its truth to the folder of work, or as not done."""
    await studio.set_done(image, state.done, by)
    return _document(image)


@router.post("/api/images/{name:path}/review", tags=["work"], responses={**_WORK, **_LARGE})
async def review(image: Opened, studio: Here, verdict: Verdict, by: By = "") -> DocumentInfo:
    """Accept the map of an image as it is now, or send the image back with a comment.

    Refused without a name, and if nobody has called it done; whoever did cannot accept it.
    """
    await studio.review(image, verdict.review, verdict.comment, by)
    return _document(image)


@router.post("/api/images/{name:path}/note", tags=["work"], responses={**_WORK, **_LARGE})
async def set_note(image: Opened, studio: Here, note: Note, by: By = "") -> DocumentInfo:
    """Flag an image, or write a comment on it, which replaces your earlier one; neither changes its marks."""
    for key, value in note:
        if value is not None:
            await studio.write(image, Entry.model_validate({key: value, "by": by}))
    return _document(image)


@router.get("/api/images/{name:path}/score", tags=["work"], responses=_WORK)
async def score(image: Opened, studio: Here) -> ScoreInfo:
    """How much an image needs a person, given its marks: what images are sorted by. It takes as long as opening it."""
    return ScoreInfo.model_validate((await studio.score(image))._asdict())


@router.post("/api/images/{name:path}/remove", tags=["images"], status_code=204, responses=_REMOVED)
async def remove(photograph: Listed, studio: Here) -> None:
    """Remove an image that was uploaded. Its journal stays in the folder of work."""
    try:
        await asyncio.to_thread(studio.remove, photograph.name)
    except DataError as error:
        raise HTTPException(409, said(error)) from None


@router.get("/api/export", tags=["work"], response_class=StreamingResponse)
async def export_all(studio: Here, layout: Layout = "indices", only: Which = "all") -> StreamingResponse:
    """The maps of all images, or of those that are so far or flagged, as a zip; `segcode.export.job` has the layouts.

    Of images that are not done it has the present map, down to the initial prediction.
    """
    photographs = await asyncio.to_thread(chosen, studio, only)
    headers = {"Content-Disposition": f'attachment; filename="segcode_{layout}.zip"'}
    parts = zipped(export_files(studio, photographs, layout, []))
    return StreamingResponse(parts, media_type="application/zip", headers=headers)


@router.get("/api/images/{name:path}/export/{kind}", tags=["work"], responses=_WORK, response_class=Response)
async def export(image: Opened, studio: Here, kind: Kind) -> Response:
    """The refined map at the size of the image, that of an image that is done as it was kept; or the labelled pixels.

    labels.png has class indices, 255 where void; ids.png the ids of the data set's files, such as Cityscapes label ids;
    colours.png the classes' colours; coco.json run lengths; truth.png the labelled pixels, 255 elsewhere; marks.json
    the marks.
    """
    marks, classes = image.document.marks, studio.classes
    name, file_name = image.photograph.original_name, image.photograph.file_name
    convert: dict[str, Callable[[LabelImage], bytes]] = {
        "labels.png": lambda labels: encode_labels(labels, classes, complete=True),
        "ids.png": lambda labels: encode_labels(labels, classes, raw=True, complete=True),
        "colours.png": lambda labels: _png(classes.colourise(labels)),
        "coco.json": lambda labels: json.dumps(coco(file_name, labels, classes, coco_id(name))).encode(),
    }
    if kind == "marks.json":
        content = await asyncio.to_thread(lambda: json.dumps([mark.model_dump(mode="json") for mark in marks]).encode())
    elif kind == "truth.png":
        content = await studio.with_session(
            image, lambda session: encode_labels(session.painting(marks).known, classes)
        )
    else:
        result = await studio.result(image, keep=True)
        content = await asyncio.to_thread(convert[kind], result.labels)
    file = f"{name.replace('/', '_')}_{kind}"
    plain = file.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_").replace("\\", "_")
    headers = {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file, safe='')}"}
    return Response(content, media_type="image/png" if kind.endswith("png") else "application/json", headers=headers)


def _info(studio: Studio, photograph: Photograph) -> ImageInfo:
    height, width = photograph.size
    progress = studio.progress(photograph.name)
    return ImageInfo(
        name=photograph.name,
        width=width,
        height=height,
        state=progress.state,
        problem=progress.problem,
        flagged=progress.flagged,
        comments=dict(progress.comments),
        finished_by=progress.finished_by,
        uploaded=photograph.uploaded,
        uncertainty=progress.score and progress.score.uncertainty,
        expected_change=progress.score and progress.score.expected_change,
    )


def _document(image: OpenImage) -> DocumentInfo:
    return DocumentInfo.model_validate(image.describe())


def _encoded(picture: Encoded) -> Response:
    return Response(picture.content, media_type=picture.media_type)


def _png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Pillow.fromarray(picture).save(content, format="PNG")
    return content.getvalue()
