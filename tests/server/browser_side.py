"""A browser's side of the server, and what it sends."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as Pillow
from starlette.testclient import TestClient, WebSocketTestSession

from segcode.classes import ClassSet

ADDRESS = "http://127.0.0.1:8765"
LIVE = ADDRESS.replace("http", "ws")
FOUR = ClassSet(
    ("road", "sidewalk", "car", "sky"), ((128, 64, 128), (0, 0, 192), (64, 0, 128), (9, 9, 9)), (7, 8, 26, 23)
)


def png(seed: int = 0, size: tuple[int, int] = (40, 60)) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Pillow.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(content)))


class Frame(NamedTuple):
    header: dict[str, Any]
    planes: np.ndarray


def unpacked(content: bytes) -> Frame:
    """As `messages.frame` says that a frame is."""
    (length,) = struct.unpack("<I", content[:4])
    header = json.loads(content[4 : 4 + length])
    planes = np.frombuffer(zlib.decompress(content[4 + length :]), np.uint8)
    return Frame(header, planes.reshape(header["planes"], header["height"], header["width"]))


class Tab:
    """A tab of a browser that looks at an image."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self._socket = socket

    def say(self, kind: str, **message: Any) -> None:
        self._socket.send_json({"type": kind, **message})

    def say_raw(self, text: str | bytes) -> None:
        (self._socket.send_text if isinstance(text, str) else self._socket.send_bytes)(text)

    def hears(self, kind: str, that: Callable[[dict[str, Any]], bool] = lambda _: True) -> Frame:
        """The next message of a kind for which something holds; others are passed over."""
        while True:
            message = self._socket.receive()
            assert message["type"] == "websocket.send", message
            if message.get("text"):
                heard = Frame(json.loads(message["text"]), np.zeros((0, 0, 0), np.uint8))
            else:
                heard = unpacked(message["bytes"])
            if heard.header["type"] == kind and that(heard.header):
                return heard

    def hears_the_end(self) -> int:
        """Why the server closed, after whatever it still said."""
        while (message := self._socket.receive())["type"] != "websocket.close":
            pass
        return message["code"]


class Server(TestClient):
    """A browser at a server's own address."""

    def tab(self, name: str) -> WebSocketTestSession:
        return self.websocket_connect(f"{LIVE}/api/images/{name}/live")
