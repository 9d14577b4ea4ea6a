"""Shapes in signatures are checked while the tests run, and only then."""

from __future__ import annotations

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the suite is for the CPU; benchmarks use the GPU

from jaxtyping import install_import_hook

hook = install_import_hook("segcode", "beartype.beartype")

import pytest  # noqa: E402 - the hook comes before whatever it checks

from segcode.model.segcode import SegCode  # noqa: E402
from tiny import TINY, make_model  # noqa: E402


@pytest.fixture
def tiny_model() -> SegCode:
    """An untrained model of four classes whose code matters, in evaluation mode."""
    return make_model(TINY)
