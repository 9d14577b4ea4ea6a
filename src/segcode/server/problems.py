"""Errors as answers: the status, and a message with the cure."""

from __future__ import annotations

import errno
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

OTHER_WORK: Final = "this address has another folder of work now: reload the page"

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def disk_message(error: OSError) -> str:
    """The file, the reason and the cure."""
    cure = "free some space" if error.errno in _FULL else "let segcode write there"
    if isinstance(error, FileNotFoundError):
        cure = "put it back"
    return f"{error.filename or 'the disk'}: {error.strerror or error}: {cure}; the page keeps unsaved marks"


async def refused(_: Request, error: Exception) -> Response:
    """400: the request is impossible."""
    return JSONResponse({"detail": str(error)}, 400)


async def not_written(_: Request, error: Exception) -> Response:
    """507 on a full disk, 404 for a missing file, 500 for other refusals of a disk."""
    assert isinstance(error, OSError)
    missing = 404 if isinstance(error, FileNotFoundError) else 500
    return JSONResponse({"detail": disk_message(error)}, 507 if error.errno in _FULL else missing)
