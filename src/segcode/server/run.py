"""From an application to a server that says where it is."""

from __future__ import annotations

import socket
import sys
import webbrowser
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Timer

import torch
import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout

from segcode.errors import ConfigError, DataError


def locked(folder: Path) -> AbstractContextManager[object]:
    """A folder of work for one server alone.

    Raises:
        DataError: if another server has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise DataError(f"{folder} is in use by another `segcode annotate`: end that one, or give -o") from None


def serve(app: FastAPI, host: str, port: int, token: str | None, browser: bool) -> None:
    """Serve until Ctrl-C; the address is printed, with the token if there is one, and opened if asked.

    Raises:
        ConfigError: if the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # who comes before the server is ready waits
    except OSError as error:
        listener.close()
        raise ConfigError(f"{host} port {port} cannot be bound to ({error.strerror}): give another --port") from None
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listener.getsockname()[1]}/" + (f"?token={token}" if token else "")
    print(f"The page is at {address}   (Ctrl-C ends the server)", file=sys.stdout, flush=True)
    if browser:
        Timer(0.5, webbrowser.open, [address]).start()
    config = uvicorn.Config(
        app, log_level="warning", ws_max_size=4 * 2**20, ws_per_message_deflate=False, timeout_graceful_shutdown=2
    )
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # a core is left to the browser, which draws meanwhile
    uvicorn.Server(config).run([listener])
