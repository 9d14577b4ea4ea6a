"""As much of Label Studio 1.23 as segcode asks, on a free port of this machine."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from local_server import LocalServer


class SmallLabelStudio(LocalServer):
    """Gives `files` to whoever knows one of its two keys, and keeps `predictions`; `asked` has every request."""

    PERSONAL, ACCESS, LEGACY = "header.payload.signature", "for.minutes.only", "0123456789abcdef"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.predictions: list[dict[str, Any]] = []
        self.asked: list[str] = []
        super().__init__(self._handler())

    def answer(self, method: str, path: str, key: str | None, body: dict[str, Any]) -> tuple[int, bytes]:
        """Status and content."""
        if path == "/api/token/refresh/":
            return (
                (200, json.dumps({"access": self.ACCESS}).encode()) if body["refresh"] == self.PERSONAL else (401, b"")
            )
        if key not in (f"Bearer {self.ACCESS}", f"Token {self.LEGACY}"):
            return 401, b""
        if path in self.files:
            return 200, self.files[path]
        if path.startswith("/api/predictions/?task="):
            task = int(path.partition("=")[2])
            return 200, json.dumps([one for one in self.predictions if one["task"] == task]).encode()
        if method == "POST" and path == "/api/predictions/":
            self.predictions.append({"id": len(self.predictions) + 1, **body})
            return 201, b"{}"
        if method == "PATCH":
            self.predictions[int(path.split("/")[3]) - 1].update(body)
            return 200, b"{}"
        return 404, b""

    def _handler(small) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the handler
        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                small.asked.append(f"{self.command} {self.path}")
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                if self.path in small.moved:
                    self.send_response(303)
                    self.send_header("Location", small.moved[self.path])
                    self.end_headers()
                    return
                status, content = small.answer(self.command, self.path, self.headers.get("Authorization"), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = _do  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None: ...

        return Handler
