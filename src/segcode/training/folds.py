"""Out-of-fold predictions: of each image by a network that was trained without it, and without its like.

On its own training images a network errs too little, and in other ways than elsewhere. What is to correct its errors is
trained on these predictions instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segcode.data.select import Subset, named
from segcode.data.sources import open_source
from segcode.errors import ConfigError, DataError
from segcode.files import replacing
from segcode.model.segcode import SegCode
from segcode.model.segmenter import SegCodeSegmenter
from segcode.sample import Sample
from segcode.training.experiment import Experiment

SEQUENCE = "sequence"
"""One fold for each sequence."""


def folds_of(names: Sequence[str], folds: str) -> dict[str, list[str]]:
    """The names of samples by fold.

    Args:
        names: of all samples.
        folds: "sequence", for one fold for each beginning of a name up to "_" (CamVid's sequences, the cities of
            Cityscapes); or a number of parts of equal size, in the order of the names.

    Raises:
        ConfigError: for anything else, or if that gives fewer than two folds.
    """
    if folds == SEQUENCE:
        beginnings = dict.fromkeys(name.split("_")[0] for name in names)
        found = {each: [name for name in names if name.split("_")[0] == each] for each in beginnings}
    elif folds.isdecimal():
        parts = np.array_split(np.array(sorted(names), dtype=object), max(1, int(folds)))
        found = {f"part{number}": list(part) for number, part in enumerate(parts, 1) if len(part)}
    else:
        raise ConfigError(f"folds are '{folds}': give 'sequence', or a number of parts")
    if len(found) == len(names) > 2:
        raise ConfigError(f"'{folds}' makes a fold of each of {len(names)} images: give a number of parts")
    if len(found) < 2:
        raise ConfigError(f"'{folds}' makes one fold of {len(names)} images: give a number of parts, 2 or more")
    return found


def fold_experiments(experiment: Experiment, folds: str) -> Iterator[tuple[str, Experiment, Subset]]:
    """Name, experiment and left-out samples of each fold.

    If a fold leaves out all validation images, the best epoch is chosen on the training images.
    """
    data = experiment.data
    training, validation = (open_source(data.kind, data.root, split) for split in (data.train, data.validation))
    dropped = named((*training.names, *validation.names), data.leave_out)
    kept = [name for name in training.names if name not in dropped]
    for name, members in folds_of(kept, folds).items():
        alike = [each for each in validation.names if folds == SEQUENCE and each.split("_")[0] == name]
        left_out = (*data.leave_out, *members, *(each for each in alike if each not in members))
        nothing = not set(validation.names) - dropped - set(left_out)
        changed = replace(data, leave_out=left_out, validation=data.train if nothing else data.validation)
        yield name, replace(experiment, data=changed), Subset(training, members)


def write_predictions(folder: Path, model: SegCode, source: Subset) -> None:
    """Write the logits of each sample, in half precision, as NAME.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(source.names):
        logits = predicted(model, source[index])
        with replacing(folder / f"{name}.npy") as path, path.open("wb") as file:
            np.save(file, logits.half().cpu().numpy())


def predicted(model: SegCode, sample: Sample) -> Float[Tensor, "M h w"]:
    """S0 of a sample's image."""
    return SegCodeSegmenter(model).predict(sample.image).base_logits


def stored_prediction(folder: Path, classes: int, sample: Sample) -> Float[Tensor, "M h w"]:
    """The stored logits of a sample.

    Raises:
        DataError: if there is no such file, or it holds something else.
    """
    path = folder / f"{sample.name}.npy"
    if not path.is_file():
        raise DataError(f"{path} is missing: `segcode train --folds` writes the predictions of all training images")
    try:
        logits = np.load(path, allow_pickle=False)
    except (EOFError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}): write it again") from None
    if logits.ndim != 3 or len(logits) != classes or not np.isfinite(logits).all():
        raise DataError(f"{path} holds {logits.shape}: finite logits of {classes} classes x rows x columns are needed")
    return torch.from_numpy(logits).float()
