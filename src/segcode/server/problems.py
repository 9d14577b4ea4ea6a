"""Errors as answers: the status, and a message with the cure."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

OTHER_WORK: Final = "this address has another folder of work now: reload the page"

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_LONGEST: Final = 500  # characters of a message: what was sent is quoted in some


def printable(text: str) -> str:
    """Text that UTF-8 can hold; what it cannot, such as other bytes in the name of a file, is written as a number."""
    return text.encode("utf-8", "backslashreplace").decode()


def disk_message(error: OSError) -> str:
    """The file, the reason and the cure."""
    cure = "free some space" if error.errno in _FULL else "let segcode write there"
    if isinstance(error, FileNotFoundError):
        cure = "put it back"
    return f"{said(error.filename or 'the disk')}: {error.strerror or error}: {cure}; the page keeps unsaved marks"


def said(problem: object) -> str:
    """The message of an error, of a bounded length, as UTF-8 can hold it."""
    text = printable(str(problem))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def reasons(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """The first errors in a message, each with its place, reason and kind, and without what was sent."""
    return [
        {"loc": [part if isinstance(part, int) else said(part)[:100] for part in error["loc"]],
         "msg": said(error["msg"]), "type": error["type"]}
        for error in errors[:10]
    ]  # fmt: skip


async def refused(_: Request, error: Exception) -> Response:
    """400: the request is impossible."""
    return JSONResponse({"detail": said(error)}, 400)


async def wrong(_: Request, error: Exception) -> Response:
    """422: the request is not as `/openapi.json` describes it."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": reasons(error.errors())}, 422)


async def gone(_: Request, error: Exception) -> Response:
    """Nobody reads this: the client went away."""
    return Response(status_code=400)


async def not_written(_: Request, error: Exception) -> Response:
    """507 on a full disk, 404 for a missing file, 500 for other refusals of a disk."""
    assert isinstance(error, OSError)
    missing = 404 if isinstance(error, FileNotFoundError) else 500
    return JSONResponse({"detail": disk_message(error)}, 507 if error.errno in _FULL else missing)
