"""JSON files that segcode writes and reads again: with the version of their format, and a digest of what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from segcode.errors import CheckpointError

FORMAT: Final = 1
"""The version of the format of every file that is stored; files of a later one are refused."""


def write_stored(path: Path, tables: Mapping[str, Any], beside: Path | None = None) -> None:
    """Write tables as JSON; the digest covers a file `beside` it, too, such as the weights that they describe."""
    content = {"format": FORMAT, **tables}
    text = json.dumps(content | {"sha256": _digest(content, beside)}, indent=2, default=str)
    path.write_text(text + "\n", encoding="utf-8")


def read_stored(path: Path, made_by: str, beside: Path | None = None, by_hand: bool = False) -> dict[str, Any]:
    """The tables that `write_stored` wrote.

    Args:
        path: the file.
        made_by: the command that writes it, for the message.
        beside: the file that the digest covers, too.
        by_hand: whether a file that was changed by hand may do without its digest.

    Raises:
        CheckpointError: if the file is missing, damaged, changed since it was written, or of a later format.
    """
    cure = f"copy it again, or write it again with {made_by}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): give a file of {made_by}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): {cure}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged (it holds no table): {cure}")
    for key in ("format",) if by_hand else ("format", "sha256"):
        if key not in content:
            raise CheckpointError(f"{path} lacks '{key}': {cure}")
    found = content["format"]
    whole = type(found) is int
    if whole and found > FORMAT:
        raise CheckpointError(
            f"{path} has format {found}, and segcode {version('segcode')} reads format {FORMAT}: update segcode"
        )
    digest = content.pop("sha256", None)
    if not whole or found != FORMAT or (digest is not None and digest != _digest(content, beside)):
        files = path if beside is None else f"{path} or {beside.name}"
        raise CheckpointError(f"{files} was changed or damaged since it was written: {cure}")
    del content["format"]
    return content


def _digest(content: Mapping[str, Any], beside: Path | None) -> str:
    """SHA-256 of the content, whatever its layout, and of the bytes of a file."""
    text = json.dumps(content, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode())
    if beside is not None:
        with beside.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
