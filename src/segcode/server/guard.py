"""Who may ask: this machine's own pages, and whoever knows the token; and how much they may send."""

from __future__ import annotations

import base64
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "segcode_token"

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Access:
    """The hosts and the token that requests must name.

    Args:
        hosts: names that the server may be called by in the Host header; None for any, where a token is asked for
            anyway. A strange page that makes its own name lead here (DNS rebinding) does not get in by that.
        token: what strangers must know; None where only this machine can reach the server.
    """

    hosts: frozenset[str] | None = frozenset({"localhost", "127.0.0.1", "[::1]"})
    token: str | None = None


class Guard:
    """Middleware that lets in what `Access` allows, and tells browsers to load nothing from elsewhere."""

    def __init__(self, app: ASGIApp, access: Access, most: int) -> None:
        """Around an application; a request's body may have `most` bytes."""
        self._app = app
        self._access = access
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        if problem := self._refusal(scope, headers):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403, "reason": problem})
                return
            await JSONResponse({"detail": problem}, 403)(scope, receive, with_headers)
            return
        if scope["type"] == "http" and scope["path"] == "/" and self._access.token and _query_token(scope):
            welcome = RedirectResponse("/", 303)  # the token leaves the address bar and the history
            welcome.set_cookie(COOKIE, self._access.token, httponly=True, samesite="strict", max_age=30 * 86400)
            await welcome(scope, receive, with_headers)
            return
        await self._app(scope, self._bounded(receive), with_headers)

    def _bounded(self, receive: Receive) -> Receive:
        """Receive up to the bound; the application answers 413 beyond it."""
        taken = 0

        async def take() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
            if taken > self._most:
                raise HTTPException(413, f"more than {self._most / 2**20:.0f} MiB were sent: send less at a time")
            return message

        return take

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._access.hosts is not None and _without_port(host) not in self._access.hosts:
            return f"the host '{host}' is not this server's: open it by the address that it printed"
        if origin is not None and _netloc(origin) != host:
            return f"a page of '{origin}' may not ask this server: open the server's own page"
        if self._access.token and not any(
            secrets.compare_digest(shown.encode(), self._access.token.encode()) for shown in _shown(scope, headers)
        ):
            return "the token is missing or wrong: open the address that the server printed, or send it as a Bearer"
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _shown(scope: Scope, headers: Headers) -> list[str]:
    """The tokens that a request shows: in a cookie, as Bearer, as the password of Basic, or in the address."""
    shown = [_query_token(scope)]
    shown.append(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))  # other servers' cookies may be odd
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        shown.append(value)
    if kind.lower() == "basic":
        with suppress(ValueError):  # no Base64, or no text in it
            shown.append(base64.b64decode(value).decode().partition(":")[2])
    return [token for token in shown if token]


def _query_token(scope: Scope) -> str:
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
