"""Who may ask: this machine's own pages, and whoever knows the token; and how much they may send."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segcode.server.problems import printable

COOKIE: Final = "segcode_token"
_PATIENCE: Final = 600.0  # seconds for a body: 64 MiB at 1 Mbit/s
_PORTS: Final = {"http": 80, "https": 443}

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


class Amount(NamedTuple):
    """The size of a body, or the most of one. JSON is read in one go while all others wait, so its parts count, too.

    Attributes:
        size: in bytes.
        lists: opening brackets, those in texts included; so are the others.
        keys: colons and opening braces.
        values: commas.
    """

    size: float
    lists: float = inf
    keys: float = inf
    values: float = inf

    @staticmethod
    def of(content: bytes) -> Amount:
        """The amount of a body, or of a part of it."""
        keys = content.count(b"{") + content.count(b":")
        return Amount(len(content), content.count(b"["), keys, content.count(b","))

    def plus(self, other: Amount) -> Amount:
        """The amount of two parts."""
        return Amount(*(one + more for one, more in zip(self, other, strict=True)))

    def excess(self, most: Amount) -> str | None:
        """The message that names what is more than there may be and the cure; None if nothing is."""
        if self.size > most.size:
            return f"more than {most.size / 2**20:.0f} MiB were sent: send less at a time"
        if any(one > limit for one, limit in zip(self, most, strict=True)):
            parts = f"{most.lists} lists, {most.keys} keys or {most.values} values"
            return f"more than {parts} were sent: send less at a time"
        return None


PAGE: Final = Amount(2**20, lists=25_000, keys=1000, values=1_000_000)
"""A message of the page: a stroke of 20 000 points, or a mask with the outline of a photograph."""

LABEL_STUDIO: Final = Amount(8 * 2**20, lists=100_000, keys=100_000, values=1_000_000)
"""A message of Label Studio, with the masks of all annotations of a task."""


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

    def __init__(self, app: ASGIApp, access: Access, bounds: Mapping[str, Amount]) -> None:
        """Wraps an application.

        Args:
            app: gets the requests that are let in.
            access: who is let in.
            bounds: the most of a body by path; `PAGE` for other paths.
        """
        self._app = app
        self._access = access
        self._bounds = bounds

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
            refused = JSONResponse({"detail": printable(problem)}, 403, {"Connection": "close"})
            await refused(scope, receive, with_headers)
            return
        if scope["type"] == "http" and scope["path"] == "/" and self._access.token and _query_token(scope):
            welcome = RedirectResponse("./", 303)  # the token leaves the address bar and the history
            safe = scope["scheme"] == "https"
            cookie = {"httponly": True, "samesite": "strict", "secure": safe, "max_age": 30 * 86400, "path": None}
            welcome.set_cookie(COOKIE, self._access.token, **cookie)  # without a path: a proxy may add one
            await welcome(scope, receive, with_headers)
            return
        if scope["type"] == "http":
            receive = self._bounded(receive, self._bounds.get(scope["path"], PAGE))
        await self._app(scope, receive, with_headers)

    def _bounded(self, receive: Receive, most: Amount) -> Receive:
        """Receive a body up to a bound and a time; the application answers 413 or 408 beyond it."""
        taken, complete = Amount(0, 0, 0, 0), False
        end = asyncio.get_running_loop().time() + _PATIENCE

        async def take() -> Message:
            nonlocal taken, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                late = f"the body was not there after {_PATIENCE:.0f} seconds: send less at a time"
                raise HTTPException(408, late, {"Connection": "close"}) from None
            taken = taken.plus(Amount.of(message.get("body", b"")))
            complete = not message.get("more_body", False)
            if excess := taken.excess(most):
                raise HTTPException(413, excess)
            return message

        return take

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._access.hosts is not None and _without_port(host) not in self._access.hosts:
            return f"the host '{host}' is not this server's: open it by the address that it printed"
        if origin is not None and not self._is_own(origin, host, headers):
            return (
                f"a page of '{origin}' may not ask this server, '{host}': open the server's own page; a proxy before "
                "it has to pass on the header Host, with nginx by proxy_set_header Host $http_host"
            )
        if self._access.token and not any(
            secrets.compare_digest(shown.encode(), self._access.token.encode()) for shown in _shown(scope, headers)
        ):
            return "the token is missing or wrong: open the address that the server printed, or send it as a Bearer"
        return None

    def _is_own(self, origin: str, host: str, headers: Headers) -> bool:
        """Whether the page is this server's; no page can send the header of a proxy to another server's address."""
        hosts = [host]
        if self._access.token:
            hosts.append(headers.get("x-forwarded-host", "").partition(",")[0].strip())
        scheme, _, authority = origin.partition("://")
        own = _authority(scheme, authority)
        return own is not None and own in [_authority(scheme, one) for one in hosts]


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _authority(scheme: str, host: str) -> tuple[str, int] | None:
    """Host and port, which may be the scheme's own; None if that is no address."""
    try:
        parts = urlsplit(f"{scheme}://{host}")
        return (parts.hostname, parts.port or _PORTS[scheme]) if parts.hostname else None
    except (ValueError, KeyError):
        return None


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
