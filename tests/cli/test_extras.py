"""The extras of pyproject.toml are what the code imports and what the error message names."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from segcode.cli.extras import MODULES, install_command

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULE_OF = {"pillow": "PIL", "pydensecrf2": "pydensecrf"}
LOADED_BY_NAME = {"onnx", "onnxscript", "tensorboard", "websockets"}  # by PyTorch, by Lightning and by uvicorn
HOSTS = {"cvat_sdk", "fiftyone"}
"""They import segcode's `integrations`, in environments of their own."""


def modules(requirements: list[str]) -> set[str]:
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}
    return {MODULE_OF.get(name, name.replace("-", "_")) for name in names - {"segcode"}}


def imported() -> set[str]:
    """Packages outside the standard library that the source imports anywhere."""
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    found |= {name.name.partition(".")[0] for name in names}
                case ast.ImportFrom(module=str(module), level=0):
                    found.add(module.partition(".")[0])
    return found - {"segcode"} - sys.stdlib_module_names


@pytest.mark.parametrize("extra", MODULES)
def test_an_extra_installs_the_modules_that_the_message_promises(extra: str) -> None:
    assert modules(PROJECT["optional-dependencies"][extra]) == set(MODULES[extra])


def test_what_the_source_imports_is_declared_and_what_is_declared_is_imported() -> None:
    declared = modules(PROJECT["dependencies"]).union(*MODULES.values())
    assert imported() - HOSTS == declared - LOADED_BY_NAME


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("lightning.pytorch", "pip install 'segcode[train]'"),
        ("matplotlib", "pip install 'segcode[eval]'"),
        ("nonsense", None),
        (None, None),
    ],
)
def test_the_command_installs_the_extra_of_a_module(module: str | None, command: str | None) -> None:
    assert install_command(module) == command
