"""Out-of-fold predictions: of each image by a network that was trained without it, and without its like.

On its own training images a network errs too little, and in other ways than elsewhere. What is to correct its errors is
trained on these predictions instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segcode.classes import ClassSet
from segcode.data.select import Subset, named
from segcode.data.sources import open_source
from segcode.errors import CheckpointError, ConfigError, DataError
from segcode.files import replacing
from segcode.model.segcode import SegCode
from segcode.sample import Sample
from segcode.stored import read_stored, write_stored
from segcode.training.experiment import Experiment

SEQUENCE = "sequence"
"""One fold for each sequence."""
DESCRIPTION: Final = "predictions.json"


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
        left_out = dropped | {*members, *alike}
        nothing = left_out.issuperset(validation.names)
        read = training.names if nothing else (*training.names, *validation.names)
        changed = replace(
            data,
            leave_out=tuple(dict.fromkeys(each for each in read if each in left_out)),
            validation=data.train if nothing else data.validation,
        )
        yield name, replace(experiment, data=changed), Subset(training, members)


def write_predictions(folder: Path, model: SegCode, source: Subset) -> dict[str, str]:
    """Write the logits of each sample, in half precision, as NAME.npy; returns the SHA-256 of each file.

    Raises:
        DataError: if logits are not finite in half precision.
    """
    digests = {}
    for index, name in enumerate(source.names):
        logits = predicted(model, source[index]).half()
        if not torch.isfinite(logits).all():
            raise DataError(f"the prediction of '{name}' is not finite: train its fold again at a lower learning rate")
        content = BytesIO()
        np.save(content, logits.cpu().numpy())
        with replacing(folder / f"{name}.npy") as path:
            path.write_bytes(content.getbuffer())
        digests[name] = sha256(content.getbuffer()).hexdigest()
    return digests


def describe_predictions(folder: Path, classes: ClassSet, digests: Mapping[str, str]) -> None:
    """Write the classes of a folder's predictions, and the digests of their files, to predictions.json."""
    with replacing(folder / DESCRIPTION) as unfinished:
        write_stored(unfinished, {"classes": classes.names, "sha256_of": dict(digests)})


def read_predictions(folder: Path) -> dict[str, Any]:
    """The tables that `describe_predictions` wrote: classes, and the digest of each file.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    tables = read_stored(folder / DESCRIPTION, "`segcode train --folds`")
    if not (isinstance(tables.get("classes"), list) and isinstance(tables.get("sha256_of"), dict)):
        raise CheckpointError(f"{folder / DESCRIPTION} describes no predictions: write it with `segcode train --folds`")
    return tables


def predicted(model: SegCode, sample: Sample) -> Float[Tensor, "M h w"]:
    """S0 of a sample's image."""
    return torch.from_numpy(model.predict(sample.image).base_logits)


class StoredPredictions:
    """The predictions of a folder for data of some classes.

    Raises:
        CheckpointError: if predictions.json is missing or damaged.
        DataError: if the predictions are of other classes.
    """

    def __init__(self, folder: Path, classes: ClassSet) -> None:
        self.folder = folder
        self.classes = classes
        description = read_predictions(folder)
        self.digests: dict[str, str] = description["sha256_of"]
        if tuple(description["classes"]) != classes.names:
            raise DataError(
                f"the predictions in {folder} are of the classes {', '.join(description['classes'])}, the data has "
                f"{', '.join(classes.names)}: predict with networks of these classes"
            )

    def __call__(self, sample: Sample) -> Float[Tensor, "M h w"]:
        """The stored logits of a sample.

        Raises:
            DataError: if there is no such file, or it holds something else.
        """
        path = self.folder / f"{sample.name}.npy"
        if sample.name not in self.digests or not path.is_file():
            raise DataError(f"{path} is missing: `segcode train --folds` writes the predictions of all training images")
        content = path.read_bytes()
        if sha256(content).hexdigest() != self.digests[sample.name]:
            raise DataError(f"{path} was changed or damaged since it was written: write it again")
        logits = np.load(BytesIO(content), allow_pickle=False)
        return torch.from_numpy(logits).float()
