"""Serves an application at an address, which is printed."""

from __future__ import annotations

import gc
import socket
import sys
import webbrowser
from asyncio import TimerHandle, Transport
from threading import Timer
from typing import ClassVar, Final
from urllib.parse import quote

import torch
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from segcode.errors import ConfigError
from segcode.server.guard import PAGE

_SILENT: Final = 64  # connections that may be open and have not said yet what they ask for
_PATIENCE: Final = 10.0  # seconds until they have to


def listening(host: str, port: int) -> socket.socket:
    """A socket that waits for connections. Raises ConfigError if the address is taken, or not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio sends small parts at once; else an answer waits 40 ms for a receipt.
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # who comes before the server is ready waits
    except OSError as error:
        listener.close()
        raise ConfigError(f"{host} port {port} cannot be bound to ({error.strerror}): give another --port") from None
    return listener


def serve(app: FastAPI, listener: socket.socket, host: str, token: str | None, browser: bool) -> None:
    """Serve at a socket until Ctrl-C; the address is printed, with the token if there is one, and opened if asked."""
    name = _reachable(host)
    name = f"[{name}]" if ":" in name else name
    address = f"http://{name}:{listener.getsockname()[1]}/" + (f"?token={quote(token, safe='')}" if token else "")
    config = uvicorn.Config(
        app,
        http=Connection,
        log_level="warning",
        ws_max_size=int(PAGE.size),
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
    )
    config.load()  # this and what follows take their time, and the first request would wait for it
    gc.collect()
    gc.freeze()  # what is loaded stays: else each large message would have it all looked through
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # a core is left to the browser, which draws meanwhile
    print(f"The page is at {address}   (Ctrl-C ends the server)", file=sys.stdout, flush=True)
    if browser:
        Timer(0.5, webbrowser.open, [address]).start()
    uvicorn.Server(config).run([listener])


def _reachable(host: str) -> str:
    """An address that a browser can open: for all of this machine's, the one that it has in its network."""
    every = {"": "192.0.2.1", "0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
    if host not in every:
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((every[host], 9))  # nothing is sent: the system chooses the address to send from
            return str(asked.getsockname()[0])
        except OSError:
            return "::1" if ":" in host else "127.0.0.1"


class Connection(H11Protocol):
    """A connection that has to say within seconds what it asks for; if too many say nothing, the oldest has to go.

    Whoever says it without the token is answered and closed by the guard, so strangers hold no connections.
    """

    silent: ClassVar[dict[Connection, TimerHandle]] = {}

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Wait for the request."""
        super().connection_made(transport)
        self.silent[self] = self.loop.call_later(_PATIENCE, transport.abort)
        if len(self.silent) > _SILENT:
            oldest = next(iter(self.silent))
            oldest._heard()
            oldest.transport.abort()

    def handle_events(self) -> None:
        """Wait no longer once there is one."""
        super().handle_events()
        if self.scope is not None:
            self._heard()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._heard()
        super().connection_lost(exc)

    def _heard(self) -> None:
        if timer := self.silent.pop(self, None):
            timer.cancel()
