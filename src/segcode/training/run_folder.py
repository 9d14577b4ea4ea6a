"""The folder of a run: for one training at a time, and with a record of what that training is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from lightning.pytorch.utilities import rank_zero_only

from segcode.errors import ConfigError
from segcode.files import alone, replacing
from segcode.sample import Source
from segcode.stored import read_stored, write_stored
from segcode.training.experiment import Experiment
from segcode.training.folds import read_predictions

_FREE: Final = {
    *(f"data.{key}" for key in ("root", "predictions", "preload", "workers")),
    "hardware.accelerator",
}
"""Settings that may differ when a training is resumed: those of the images' place, their reading and the hardware."""


def held(out: Path) -> AbstractContextManager[None]:
    """A run folder for this training alone, whose first process holds it for all. Raises DataError if it is in use."""
    return rank_zero_only(alone)(out, "segcode train") or nullcontext()


def remember(
    experiment: Experiment, sources: tuple[Source, Source], path: Path, complete: int, finished: bool = False
) -> None:
    """Keep the experiment beside its results; once epochs are complete, refuse what would change their result."""
    tables = json.loads(json.dumps(asdict(experiment), default=str))
    images = _digest_of_images(experiment, sources)
    if complete:
        stored = read_stored(path, "`segcode train`")
        kept = _flat(stored.get("experiment"))
        for key, value in _flat(tables).items():
            was = kept.get(key)
            if value == was or key in _FREE:
                continue
            if reason := _why_fixed(key, experiment, complete, finished):
                raise ConfigError(
                    f"{key} is {value}, but the training to resume has {was}: {reason}, or name a new folder"
                )
        if stored.get("images") != images:
            raise ConfigError(
                f"{experiment.data.root} has other images, classes or predictions than the training to resume: give "
                "its data, or name a new folder"
            )
    rank_zero_only(_write)(path, {"experiment": tables, "images": images})


def _write(path: Path, tables: Mapping[str, Any]) -> None:
    with replacing(path) as unfinished:
        write_stored(unfinished, tables)


def _flat(tables: Any, prefix: str = "") -> dict[str, Any]:
    """Values of nested tables by "table.key"."""
    if not isinstance(tables, dict):
        return {prefix: tables}
    inner = [_flat(value, f"{prefix}.{key}" if prefix else key) for key, value in tables.items()]
    return {key: value for each in inner for key, value in each.items()} or {prefix: {}}


def _why_fixed(key: str, experiment: Experiment, complete: int, finished: bool) -> str | None:
    """Why a value cannot be another one; None for a number of epochs with which the complete ones are the same."""
    if key != "epochs" or finished:
        return "give its experiment"
    if experiment.optimiser.schedule != "constant":
        return f"the {experiment.optimiser.schedule} schedule of the complete epochs was for that number; give it"
    if experiment.loss.kl_weight and experiment.loss.kl_warmup:
        return "the warm-up of the KL weight (loss.kl_warmup) was for that number; give it"
    if experiment.epochs < complete:
        return f"{complete} are complete; give at least that many"
    return None


def _digest_of_images(experiment: Experiment, sources: tuple[Source, Source]) -> str:
    """A digest of the images' names and classes, wherever their folder is, and of the predictions of them."""
    digest = hashlib.sha256(repr([(source.classes, source.names) for source in sources]).encode())
    if experiment.data.predictions is not None:
        digest.update(json.dumps(read_predictions(experiment.data.predictions)).encode())
    return digest.hexdigest()
