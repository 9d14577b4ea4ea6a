"""Two threads on the CPU, or a GPU with `--device cuda`; every result says where it comes from."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from floors import Floor, measure_floor, operations, peak_memory

ROUNDS = 7
"""Where each has to be set up anew."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="cpu or cuda")
    parser.addoption("--threads", type=int, default=2, help="of the CPU")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(config.getoption("--threads"))


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    device = config.getoption("--device")
    machine_info["segcode"] = {
        "device": torch.cuda.get_device_name() if device != "cpu" else machine_info["cpu"].get("brand_raw", "a CPU"),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--device")


@pytest.fixture(scope="session")
def floor(device: str) -> Floor:
    return measure_floor(device)


@pytest.fixture
def measure(benchmark: Any, device: str, floor: Floor) -> Callable[..., Any]:
    """Time some work, and note its floor and its peak memory."""

    def run(work: Callable[[], Any], size: float = 0, setup: Callable[[], None] | None = None, **notes: object) -> Any:
        def synchronised() -> Any:
            result = work()
            if device != "cpu":
                torch.cuda.synchronize()
            return result

        with torch.no_grad():
            for name, look in (("operations", operations), ("peak", partial(peak_memory, device=device))):
                if setup:
                    setup()
                benchmark.extra_info[name] = look(work)
            benchmark.extra_info["floor"] = floor.seconds(benchmark.extra_info["operations"], size)
            benchmark.extra_info.update(notes)
            if setup:
                return benchmark.pedantic(synchronised, setup=setup, rounds=ROUNDS)
            return benchmark(synchronised)

    return run
