"""The WebSocket of an image: marks and questions come in, maps go out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from segcode.errors import DataError, SegcodeError
from segcode.server.guard import PAGE, Amount
from segcode.server.journal import Entry, Person, ReplacedError
from segcode.server.messages import (
    REQUEST,
    Accept,
    Add,
    Draw,
    Fill,
    Look,
    Reach,
    Sample,
    SetDone,
    SetReview,
    Step,
    Watch,
    frame,
)
from segcode.server.problems import OTHER_WORK, disk_message, reasons, said
from segcode.server.studio import OpenImage, Studio, Viewer

router = APIRouter()


@router.websocket("/api/images/{name:path}/live")
async def live(websocket: WebSocket, name: str, work: str | None = None, by: Annotated[Person, Query()] = "") -> None:
    """Maps while marks are drawn by a person; `docs/page.md` has the messages.

    Refused where `work` is given and is not that of `/api/model`: another server has come to this address.
    """
    studio: Studio = websocket.app.state.studio
    await websocket.accept()
    viewer = Viewer()
    passing_on = asyncio.create_task(_pass_on(viewer, websocket))
    try:
        if work not in (None, studio.work):
            raise DataError(OTHER_WORK)
        try:
            image = await asyncio.to_thread(studio.image, name)
        except KeyError:
            raise DataError(f"there is no image '{name}'") from None
        try:
            await studio.enter(image, viewer)
            while (received := await websocket.receive())["type"] == "websocket.receive":
                await _answer(studio, image, viewer, by, received.get("text") or "")
                await viewer.room()
        finally:
            studio.leave(image, viewer)
    except SegcodeError as problem:
        viewer.send({"type": "problem", "message": said(problem)})
        viewer.end()
        await passing_on
        await websocket.close(4404)
    finally:
        passing_on.cancel()


async def _pass_on(viewer: Viewer, websocket: WebSocket) -> None:
    try:
        with suppress(WebSocketDisconnect, RuntimeError):  # it is gone, but its earlier requests still count
            async for message in viewer.messages():
                if isinstance(message, bytes):
                    await websocket.send_bytes(message)
                else:
                    await websocket.send_json(message)
    except Exception:
        await websocket.close(1011)  # else the page would wait for maps that never come
        raise
    finally:
        viewer.end()


async def _answer(studio: Studio, image: OpenImage, viewer: Viewer, by: str, text: str) -> None:
    """Do what a message asks, or send the reason why not; no mark is lost by it."""
    mark = None
    try:
        if excess := Amount.of(text.encode()).excess(PAGE):
            raise DataError(excess)
        request = REQUEST.validate_json(text)
        mark = request.mark.id if isinstance(request, Add) else getattr(request, "id", None)  # that it asks to keep
        match request:
            case Draw():
                if request.mark is not None:
                    studio.check(request.mark)
                viewer.draft = request.mark
                image.changed.set()
            case Add():
                await studio.write(image, Entry(mark=request.mark, by=by))
                if viewer.draft is not None and viewer.draft.id == request.mark.id:
                    viewer.draft = None
            case Fill(x=x, y=y, label=label, id=made):
                await studio.write_made(image, lambda s, marks: s.region(marks, x, y, label, made), made, by)
            case Accept(label=label, id=made):
                await studio.write_made(image, lambda s, marks: s.accept(marks, label, made), made, by)
            case Step(type=step):
                await studio.write(image, Entry(step=step, by=by))
            case SetDone(done=done):
                await studio.set_done(image, done, by)
            case SetReview(review=review, comment=comment):
                await studio.review(image, review, comment, by)
            case Watch(uncertainty=uncertainty):
                viewer.uncertainty = uncertainty
                image.changed.set()
            case Look():
                marks = image.document.marks
                places = await studio.with_session(image, lambda session: session.look(marks))
                viewer.send({"type": "places", "places": [place._asdict() for place in places]}, "places")
            case Reach(mark=asked):
                studio.check(asked)
                marks = image.document.marks
                changes = await studio.with_session(image, lambda session: session.changes(marks, asked))
                viewer.send(frame({"type": "reach", "mark": asked.id}, [changes]), "reach")
            case Sample(seed=seed):
                marks = image.document.marks
                drawn = await studio.with_session(image, lambda session: session.sample(marks, seed))
                viewer.send(frame({"type": "samples", "seed": seed}, drawn), "samples")
        if mark is not None:
            viewer.send({"type": "saved", "mark": mark})
    except ValidationError as error:
        (first, *_) = reasons(error.errors(include_url=False, include_context=False, include_input=False))
        where = ".".join(map(str, first["loc"])) or "message"
        viewer.send({"type": "problem", "mark": mark, "message": f"{where}: {first['msg']}"})
    except ReplacedError:
        raise  # the page keeps its marks: they may be for the image that was there
    except SegcodeError as error:
        viewer.send({"type": "problem", "mark": mark, "message": said(error)})
    except OSError as error:
        viewer.send({"type": "unsaved", "mark": mark, "message": disk_message(error)})
