"""Frozen dataclasses from TOML: types are pydantic's work, the cure in the message is ours."""

from __future__ import annotations

import json
import reprlib
import tomllib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from segcode.errors import ConfigError, nearest

T = TypeVar("T")

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Index = Annotated[int, Field(ge=0, lt=2**31)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
"""Types whose range `parse` checks; where a dataclass is built in code, they are plain numbers."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError if it cannot be read or does not parse."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}): give the path of a TOML file that you may read"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def changed(tables: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Tables with some values replaced, each by "table.key=value" with the value as in TOML.

    Raises:
        ConfigError: if a change is not of that form.
    """
    for change in changes:
        shown = reprlib.repr(change)
        key, equals, value = change.partition("=")
        *path, name = key.strip().split(".")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            equals = ""
        if not equals:
            raise ConfigError(f"{shown} is no KEY=VALUE: give for instance model.width=32 or 'start=\"streets\"'")
        tables = dict(tables)
        inner = tables
        for table in path:
            found = inner.get(table, {})
            if not isinstance(found, dict):
                raise ConfigError(f"{shown}: {table} is {reprlib.repr(found)} and no table: give its key alone")
            inner[table] = dict(found)
            inner = inner[table]
        inner[name] = parsed
    return tables


def parse(kind: type[T], tables: object, where: str) -> T:
    """Build a dataclass, and those inside it, from nested tables.

    A value has to be of the type itself: neither 3.0, true nor "3" is an integer.

    Raises:
        ConfigError: for an unknown key, naming the nearest known one, and for a value of the wrong type; `where`
            says which file the tables came from.
    """
    _refuse_unknown_keys(kind, tables, where)
    try:
        text = json.dumps(tables, default=str)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} holds what no key takes ({error}): give plain values") from None
    try:
        # As JSON: there a list may stand for a tuple and a string for a path, while all else is strict.
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "it"
        raise ConfigError(f"{where}: {key} is {reprlib.repr(first['input'])}: {first['msg']}") from None


def _refuse_unknown_keys(kind: Any, tables: object, where: str) -> None:
    if not isinstance(tables, dict):
        raise ConfigError(f"{where} is {reprlib.repr(tables)}: give a table")
    known = [f.name for f in fields(kind)]
    types = get_type_hints(kind)
    for key, value in tables.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {reprlib.repr(key)}: {nearest(key, known)}")
        if is_dataclass(types[key]) and isinstance(value, dict):
            _refuse_unknown_keys(types[key], value, f"{where} [{key}]")
