"""Segmenters named by module and attribute."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from segcode.classes import ClassSet
from segcode.errors import ConfigError, SegcodeError, where
from segcode.segmenters.named_classes import classes_of


def import_segmenter(path: str) -> Any:
    """Import MODULE.NAME, and make an instance if it is a class. Modules in the current folder are found.

    Raises:
        ConfigError: if there is no such module, it fails, there is no such name in it, or that can be neither called
            nor asked to predict.
    """
    module, _, attribute = path.rpartition(".")
    if not module:
        raise ConfigError(f"'python:{path}' is no segmenter: write python:MODULE.NAME, as in python:my_module.logits")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        loaded = import_module(module)
        if not hasattr(loaded, attribute):
            raise ConfigError(f"python:{path}: the module '{module}' has no '{attribute}'")
        found = getattr(loaded, attribute)
        found = found() if isinstance(found, type) else found
    except SegcodeError:
        raise
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"python:{path}: there is no module '{error.name}': install it, or change to its folder"
        ) from None
    except (Exception, SystemExit) as error:  # any: the module is not ours
        raise ConfigError(f"python:{path} fails ({where(error)}): correct it") from error
    if not (callable(found) or hasattr(found, "predict")):
        raise ConfigError(f"python:{path} is a {type(found).__name__}: name a function from an image to logits")
    return found


def classes_of_object(found: Any) -> ClassSet | None:
    """The `classes` of an object or a function, which may be a `ClassSet` or names; None if it has none."""
    given = getattr(found, "classes", None)
    if given is None or isinstance(given, ClassSet):
        return given
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise ConfigError(f"`classes` of the segmenter is {given!r}: give a ClassSet, or a list of names")
    return classes_of(list(given))
