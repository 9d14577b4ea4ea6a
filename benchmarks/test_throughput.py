"""Images a second of training: as it runs, and fed with batches that are in memory already."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

import lightning
import pytest
import torch
from floors import peak_memory

from segcode.data.dataset import Item
from segcode.streets.streets import Streets
from segcode.training.data import TrainingData
from segcode.training.experiment import DataConfig, Experiment, HardwareConfig
from segcode.training.module import TrainingModule

STEPS = 10
"""Of which the first two do not count."""


class Clock(lightning.Callback):
    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


class Memory:
    """Batches over and over."""

    def __init__(self, batches: list[Item], steps: int) -> None:
        self.batches, self.steps = batches, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Item]:
        return islice(cycle(self.batches), self.steps)


@pytest.fixture
def experiment(device) -> Experiment:
    base = Experiment(loss=replace(Experiment().loss, zero_code=1.0))
    if device == "cpu":
        return replace(base, batch=8)
    model = replace(base.model, size=(360, 480), width=24)
    return replace(base, batch=16, model=model, data=DataConfig(workers=8))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("feed", ["memory", "memory, channels last", "loader", "preloaded"])
def test_training(benchmark, experiment, device, feed, precision):
    if device == "cpu" and precision != "32-true":
        pytest.skip("without instructions for bf16 a CPU takes ten times as long")
    benchmark.group = "training"
    train(benchmark, experiment, device, feed, precision)


@pytest.mark.parametrize("share", [0.5, 1, 2])
@pytest.mark.parametrize("side", ["batch", "pixels", "N"])
def test_scaling(benchmark, experiment, device, side, share):
    """Half and twice as many images a step, pixels of an image, numbers of a code."""
    benchmark.group = "scaling"
    model = experiment.model
    height, width = (16 * round(length * share**0.5 / 16) for length in model.size)
    other = {
        "batch": replace(experiment, batch=round(share * experiment.batch)),
        "pixels": replace(experiment, model=replace(model, size=(height, width))),
        "N": replace(experiment, model=replace(model, code_size=round(share * model.code_size))),
    }[side]
    train(benchmark, other, device, "memory", "32-true")


def train(benchmark, experiment: Experiment, device: str, feed: str, precision: str) -> None:
    """A few steps, how many images a second they make, and the memory that two of them take at their peak."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    experiment = replace(experiment, data=replace(experiment.data, preload=feed == "preloaded"))
    hardware = HardwareConfig(accelerator="cpu" if device == "cpu" else "gpu", devices=1, precision=precision)
    size, steps = experiment.model.size, STEPS if device == "cpu" else 5 * STEPS
    streets = Streets(experiment.batch * steps, height=size[0], width=size[1])
    data = TrainingData(replace(experiment, hardware=hardware), streets, streets)
    clock = Clock()

    def trainer() -> lightning.Trainer:
        return lightning.Trainer(
            max_epochs=1, limit_val_batches=0, accelerator=hardware.accelerator, devices=1, precision=precision,
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False, callbacks=[clock],
        )  # fmt: skip

    module = TrainingModule(experiment)
    if feed.startswith("memory"):
        if feed.endswith("channels last"):
            module.to(memory_format=torch.channels_last)
        data.trainer = trainer()
        ready = list(islice(data.train_dataloader(), 2))
        two = partial(trainer().fit, module, train_dataloaders=Memory(ready, 2))
        benchmark.extra_info["peak"] = peak_memory(two, device)
        clock.ends.clear()
        benchmark.pedantic(lambda: trainer().fit(module, train_dataloaders=Memory(ready, steps)))
    else:
        benchmark.pedantic(lambda: trainer().fit(module, datamodule=data))
    counted = clock.ends[1:]
    benchmark.extra_info["images a second"] = experiment.batch * (len(counted) - 1) / (counted[-1] - counted[0])
