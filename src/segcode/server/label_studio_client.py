"""The one Label Studio that segcode may ask: for the images of its tasks, and to take predictions."""

from __future__ import annotations

import base64
import json
import re
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, unquote, unquote_to_bytes, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import BaseModel, TypeAdapter, ValidationError

from segcode.data.files import name_of
from segcode.data.images import read_image
from segcode.errors import ConfigError, DataError
from segcode.server.library import Limits
from segcode.tensors import Image

_PATIENCE: Final = 20.0  # seconds until an answer begins, and for all of it
_ACCESS: Final = 120.0  # seconds that an access token is used for; it is valid for 300
_WRITTEN: Final = "%/:?#[]@!$&'()*+,;=~"  # left as they are in an address; spaces and other letters are quoted
_CURES: Final = {
    401: "give the key of a user of it as LABEL_STUDIO_API_KEY",
    403: "give the key of a user who may see the project as LABEL_STUDIO_API_KEY",
    404: "give the address and the key of the Label Studio that the task is in",
}


class Prediction(BaseModel):
    """One that a task has."""

    id: int
    model_version: str | None


class AccessToken(BaseModel):
    """A token that a personal access token is exchanged for."""

    access: str


class LabelStudio:
    """A Label Studio by its address; nothing else is ever asked, whatever a task or an answer says."""

    def __init__(self, address: str, key: str | None, limits: Limits) -> None:
        """Say where it is; nothing is asked yet.

        Args:
            address: such as http://localhost:8080.
            key: a personal access token, or a legacy token; None if it asks for none.
            limits: of an image.

        Raises:
            ConfigError: if that is no address.
        """
        self.address = address.rstrip("/") + "/"
        if _origin(self.address) is None:
            raise ConfigError(f"--label-studio {address} is no address: give one such as http://localhost:8080")
        self._key = key
        self._limits = limits
        self._access = ("", -_ACCESS)
        self._opener = build_opener(_StaysHere())

    def image(self, source: str) -> Image:
        """The image of a task: at a path such as /data/upload/1/x.png, or at an address of this Label Studio.

        Raises:
            DataError: if it is elsewhere, is not answered, or is no image within the limits.
        """
        return decode_image(self._ask("GET", source), source[:200], self._limits)

    def suggest(self, task: int, version: str, results: list[dict[str, Any]]) -> None:
        """Let a task have these regions as the prediction of a model version; the one that it had is replaced.

        Raises:
            DataError: if it is not taken.
        """
        kept = _read(list[Prediction], self._ask("GET", f"api/predictions/?task={task}"))
        own = [prediction.id for prediction in kept if prediction.model_version == version]
        if own:
            self._ask("PATCH", f"api/predictions/{max(own)}/", {"result": results})
        else:
            self._ask("POST", "api/predictions/", {"task": task, "model_version": version, "result": results})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        return self._answer(method, path, body, {"Authorization": self._authorization()} if self._key else {})

    def _authorization(self) -> str:
        """A personal access token is a JWT, exchanged for tokens valid for minutes; a legacy token is used as it is."""
        assert self._key is not None
        if self._key.count(".") != 2:
            return f"Token {self._key}"
        token, since = self._access
        if monotonic() - since > _ACCESS:
            answer = self._answer("POST", "api/token/refresh/", {"refresh": self._key}, {})
            token = _read(AccessToken, answer).access
            self._access = token, monotonic()
        return f"Bearer {token}"

    def _answer(self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> bytes:
        url = self._url(path)
        content = None if body is None else json.dumps(body).encode()
        request = Request(url, content, {"Content-Type": "application/json", **headers}, method=method)
        try:
            with self._opener.open(request, timeout=_PATIENCE) as response:
                answer = _within(response, self._limits.bytes + 1)
        except HTTPError as error:
            raise DataError(f"{url} answers {error.code}: {_CURES.get(error.code, _said(error))}") from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise DataError(f"{url} does not answer ({reason}): start Label Studio, or check --label-studio") from None
        if len(answer) > self._limits.bytes:
            raise DataError(f"{url} has more than {self._limits.bytes / 2**20:.0f} MiB: scale it down")
        return answer

    def _url(self, path: str) -> str:
        try:
            url = quote(urljoin(self.address, path), safe=_WRITTEN)
        except ValueError:
            url = ""
        if _origin(url) != _origin(self.address):
            raise DataError(
                f"the image {path[:200]} is not at {self.address}, and nothing else is asked: upload it to "
                "Label Studio, or give --label-studio the address that its tasks have"
            )
        return url


class _StaysHere(HTTPRedirectHandler):
    """Follows no redirection to another address: the key would go there, too."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if _origin(newurl) != _origin(req.full_url):
            raise DataError(
                f"{req.full_url} sends on to another address, {newurl[:200]}: switch pre-signed URLs off in the "
                "settings of Label Studio's storage, and it answers itself"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(kind: Any, answer: bytes) -> Any:
    try:
        return TypeAdapter(kind).validate_json(answer)
    except ValidationError:
        raise DataError("the server at --label-studio is no Label Studio 1.23: check the address") from None


def image_name(source: str) -> str | None:
    """The name of the file that an image was before it came to Label Studio; none of a `data:` address.

    It is the last part of the path, or of what `?d=` says of local files. An upload has eight digits before its name.
    """
    if source.startswith("data:"):
        return None
    parts = urlsplit(source)
    name = name_of(Path(unquote(parse_qs(parts.query).get("d", [parts.path])[0])))
    return re.sub("^[0-9a-f]{8}-", "", name) if "/data/upload/" in parts.path else name


def inline_image(source: str, limits: Limits) -> Image:
    """The image that a `data:` address itself is.

    Raises:
        DataError: if there is none in it, or one beyond the limits.
    """
    head, _, content = source.partition(",")
    if len(content) > 3 * limits.bytes:  # each byte may be written as three characters
        raise DataError(f"{head} has more than {limits.bytes / 2**20:.0f} MiB: scale it down")
    try:
        raw = unquote_to_bytes(content)
        return decode_image(base64.b64decode(raw, validate=True) if head.endswith(";base64") else raw, head, limits)
    except ValueError:
        raise DataError(f"the image {head} is damaged: encode it as Base64") from None


def decode_image(content: bytes, name: str, limits: Limits) -> Image:
    """An image's pixels, upright.

    Raises:
        DataError: if it is none, is damaged, or has too many pixels, which is looked up before anything is decoded.
    """
    return read_image(content, name, limits.pixels)


def _within(response: HTTPResponse, most: int) -> bytes:
    """Up to `most` bytes of an answer. Raises TimeoutError if it comes too slowly."""
    end, answer = monotonic() + _PATIENCE, bytearray()
    while len(answer) < most and (part := response.read1(min(2**20, most - len(answer)))):
        answer += part
        if monotonic() > end:
            raise TimeoutError(f"not all of it was there after {_PATIENCE:.0f} seconds")
    if response.length and len(answer) < most:
        raise IncompleteRead(bytes(answer), response.length)
    return bytes(answer)


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None if it is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _said(error: HTTPError) -> str:
    return error.read(300).decode(errors="replace") or "see its log"
