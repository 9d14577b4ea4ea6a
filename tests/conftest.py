"""Shapes in signatures are checked while the tests run, and only then; the tests run in random order."""

from __future__ import annotations

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the suite is for the CPU; benchmarks use the GPU

from jaxtyping import install_import_hook

hook = install_import_hook("segcode", "beartype.beartype")

import pytest  # noqa: E402 - the hook comes before whatever it checks
import torch  # noqa: E402

from segcode.model.segcode import SegCode  # noqa: E402
from tiny import TINY, make_model  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Only the order of the tests is random: a test that wants random numbers seeds a generator of its own."""
    config.option.randomly_reset_seed = False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the option that repeats the order of this run."""
    if seed := config.getoption("randomly_seed", None):
        terminalreporter.write_line(f"pytest --randomly-seed={seed} runs the tests in this order again")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """PyTorch's generator starts each test in one state, so that a test draws the same numbers in any order."""
    torch.manual_seed(0)


@pytest.fixture
def tiny_model() -> SegCode:
    """An untrained model of four classes whose code matters, in evaluation mode."""
    return make_model(TINY)
