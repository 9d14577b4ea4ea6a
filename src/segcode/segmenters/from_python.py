"""A segmenter that is named by module and attribute."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from segcode.errors import ConfigError


def import_segmenter(path: str) -> Any:
    """What MODULE.NAME names; an instance, if that is a class. Modules of the current folder are found.

    Raises:
        ConfigError: if there is no such module, no such name in it, or it can be neither called nor asked to predict.
    """
    module, _, attribute = path.rpartition(".")
    if not module:
        raise ConfigError(f"'python:{path}' is no segmenter: write python:MODULE.NAME, as in python:my_module.logits")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"python:{path}: there is no module '{error.name}': install it, or change to its folder"
        ) from None
    except AttributeError:
        raise ConfigError(f"python:{path}: the module '{module}' has no '{attribute}'") from None
    found = found() if isinstance(found, type) else found
    if not (callable(found) or hasattr(found, "predict")):
        raise ConfigError(f"python:{path} is a {type(found).__name__}: name a function from an image to logits")
    return found
