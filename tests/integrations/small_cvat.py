"""As much of a CVAT 2.80 server as `cvat-cli function` asks: one task of one image, on a free port of this machine."""

from __future__ import annotations

import io
import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
from PIL import Image as Pillow

from local_server import LocalServer


class SmallCvat(LocalServer):
    """Keeps the `function` that is created, hands out `requests`, and keeps their `results` and `failures`."""

    def __init__(self, image: np.ndarray, labels: tuple[str, ...]) -> None:
        content = io.BytesIO()
        Pillow.fromarray(image).save(content, "PNG")
        self.image, self.labels = content.getvalue(), labels
        self.function: dict[str, Any] = {}
        self.requests: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        super().__init__(self._handler())

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        """What is sent as JSON, or an image; KeyError where there is nothing."""
        now = "2026-01-01T00:00:00Z"
        if path == "/api/functions":
            self.function = {"startswith_box": False, "startswith_box_optional": False, **body, "id": 1}
        if path.endswith("/acquire"):
            request = self.requests.pop() if self.requests else None
            return {"ar_assignment": request and {"ar_id": "1", "ar_params": {"task": 1, "frame": 0, **request}}}
        if path.endswith("/complete"):
            self.results.append(body)
            return {}
        if path.endswith("/fail"):
            self.failures.append(body)
            return {}
        label = {"type": "any", "attributes": [], "sublabels": []}
        labels = [{"id": 100 + i, "name": name, **label} for i, name in enumerate(self.labels)]
        frame = {"name": "left/street.png", "related_files": 0}
        task = {"id": 1, "name": "", "size": 1, "data_chunk_size": 1, "organization": None, "updated_date": now}
        jobs = {"completed": 0, "validation": 0}
        return {
            "/api/server/about": {"version": "2.80.0", "name": "", "description": "", "logo_url": "", "subtitle": ""},
            "/api/functions": self.function,
            "/api/functions/1": self.function,
            "/api/labels": {"count": len(labels), "next": None, "previous": None, "results": labels},
            "/api/tasks/1": {**task, "data_original_chunk_type": "imageset", "jobs": jobs, "labels": {}},
            "/api/tasks/1/data/meta": {"chunks_updated_date": now, "frames": [frame], "deleted_frames": []},
            "/api/tasks/1/data": self.image,
        }[path]

    def _handler(small) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the handler
        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                try:
                    answer = small.answer(self.path.partition("?")[0].rstrip("/"), body)
                    status = 200
                except KeyError:
                    answer, status = {}, 404
                kind = "image/png" if isinstance(answer, bytes) else "application/json"
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _do  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None: ...

        return Handler
