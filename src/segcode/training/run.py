"""Run an experiment: from the file to a folder with the trained model, logs, pictures and checkpoints."""

from __future__ import annotations

import json
import logging
import platform
import shlex
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from rich.console import Console
from torch import Tensor

from segcode.classes import ClassSet
from segcode.data.select import Subset, named
from segcode.data.sources import open_source
from segcode.efficientnet import imagenet_weights
from segcode.errors import CheckpointError, ConfigError, DataError
from segcode.model.checkpoint import LoadedModel, load_model, save_model
from segcode.model.huggingface_features import backbone_config, backbone_weights
from segcode.sample import Source
from segcode.training.callbacks import EpochReport, Panels
from segcode.training.data import TrainingData
from segcode.training.experiment import Experiment
from segcode.training.folds import fold_experiments, write_predictions
from segcode.training.module import ENCODER, OF_BASE, TrainingModule

HUGGINGFACE = "huggingface:"
"""The beginning of a `start` that names a backbone of transformers by folder or name."""


def train(experiment: Experiment, out: Path, resume: bool = False, progress: bool = True) -> Path:
    """Train, and return the folder of the best model, `out/model`.

    The best epoch is that with the most accurate initial predictions on the validation split, or, on out-of-fold
    predictions, with the most accurate maps of the encoder's code. `out` also gets `checkpoints/` (best and last),
    `logs/` (CSV and TensorBoard) and `panels/`.

    `out` must be a new folder, unless `resume`: then the training goes on from `out/checkpoints/last.ckpt`, and the
    result equals that of a run that was never stopped.

    Raises:
        CheckpointError: if `out` has a training already and `resume` is False, or has none and it is True; if the
            model to start from does not fit.
        ConfigError: if the experiment is not the one to resume.
        DataError: if a sample cannot be read.
    """
    if experiment.data.predictions is not None and (experiment.start is None or experiment.model.code_sees == "image"):
        raise ConfigError(
            "data.predictions trains the code path of a finished model on predictions alone: "
            'name the model as start, and set model.code_sees to "prediction"'
        )
    last = out / "checkpoints" / "last.ckpt"
    if resume and not last.is_file():
        raise CheckpointError(f"{last} does not exist: there is nothing to resume; leave out --resume")
    if not resume and last.exists():
        raise CheckpointError(f"{out} holds a training already: add --resume to go on with it, or name a new folder")

    _remember(experiment, out / "experiment.json", resume)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its tips do not concern our users
    warnings.filterwarnings("ignore", ".*LeafSpec")  # Lightning's use of PyTorch, not ours
    lightning.seed_everything(experiment.seed, workers=True, verbose=False)
    training, validation = _sources(experiment)
    model = replace(experiment.model, classes=len(training.classes))
    if experiment.start is not None and experiment.start.startswith(HUGGINGFACE):
        model = replace(model, huggingface=backbone_config(experiment.start.removeprefix(HUGGINGFACE)))
    experiment = replace(experiment, model=model)
    module = TrainingModule(experiment)
    if experiment.start is not None:
        _start_from(experiment.start, module, training.classes)
    monitor = "val/encoded_accuracy" if module.from_predictions else "val/initial_accuracy"
    best = ModelCheckpoint(out / "checkpoints", "best", monitor=monitor, mode="max", enable_version_counter=False)
    trainer = _trainer(experiment, out, training, best, progress)
    data = TrainingData(experiment, training, validation, module.model)
    module.train()  # predictions of validation images left it in evaluation mode
    try:
        trainer.fit(module, datamodule=data, ckpt_path=last if resume else None, weights_only=True)
    except DataError as error:
        # From a reading process it comes with that process's traceback in its text.
        raise DataError(str(error).strip().splitlines()[-1].removeprefix("segcode.errors.DataError: ")) from None
    # The figures of the card are those of the weights beside it.
    trainer.validate(module, datamodule=data, ckpt_path=best.best_model_path, verbose=False, weights_only=True)
    # Beside a running mean the module holds the weights that the training would go on with.
    module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    if trainer.is_global_zero:
        card = model_card(experiment, trainer.logged_metrics, len(training))
        save_model(out / "model", LoadedModel(module.model, training.classes), card)
    trainer.strategy.barrier()
    return out / "model"


def train_folds(experiment: Experiment, folds: str, out: Path, progress: bool = True) -> Path:
    """Train a network for each fold without its images, and predict these: `out/predictions`, a file for each image.

    A fold whose model is in `out/folds/NAME` already is not trained again, one that was stopped goes on; either must
    be of the same experiment.

    Args:
        experiment: of each network.
        folds: as in `folds_of`.
        out: a folder.
        progress: whether to show a bar.

    Raises:
        CheckpointError, ConfigError, DataError: as `train` does.
    """
    for name, plan, left_out in fold_experiments(experiment, folds):
        folder = out / "folds" / name
        if (folder / "model").is_dir():
            _remember(plan, folder / "experiment.json", resume=True)
        else:
            rank_zero_info(f"fold {name}: training without its {len(left_out)} images")
            train(plan, folder, (folder / "checkpoints" / "last.ckpt").is_file(), progress)
        rank_zero_only(write_predictions)(out / "predictions", load_model(folder / "model").model, left_out)
    return out / "predictions"


def _remember(experiment: Experiment, path: Path, resume: bool) -> None:
    """Keep the experiment beside its results, and refuse to resume with another one."""
    tables = json.loads(json.dumps(asdict(experiment), default=str))
    if not resume:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")
        return
    if not path.is_file():
        raise CheckpointError(f"{path} is missing, so what {path.parent} was trained by is unknown: name a new folder")
    kept = json.loads(path.read_text(encoding="utf-8"))
    changed = [key for key in tables if key != "hardware" and tables[key] != kept.get(key)]
    if changed:
        key = changed[0]
        raise ConfigError(
            f"{key} is {tables[key]}, but the training to resume has {kept.get(key)}: give its experiment, "
            "or name a new folder"
        )


def _start_from(name: str, module: TrainingModule, classes: ClassSet) -> None:
    """Copy every tensor that has the same name and shape. The others keep their random start, and the log says so.

    Where the code alone is trained, all of the network that gives the initial prediction has to be among them.
    """
    if name == "imagenet":
        theirs = {ENCODER + key: value for key, value in imagenet_weights().items()}
    elif name.startswith(HUGGINGFACE):
        weights = backbone_weights(name.removeprefix(HUGGINGFACE))
        theirs = {ENCODER + key: value for key, value in weights.items()}
    else:
        start = load_model(name)
        theirs = start.model.state_dict()
        if module.from_predictions and start.classes.names != classes.names:
            raise CheckpointError(f"'{name}' has other classes than the data: its predictions mean something else")
    own = module.model.state_dict()
    fitting = {key: value for key, value in theirs.items() if key in own and value.shape == own[key].shape}
    if not fitting:
        raise CheckpointError(f"no tensor of '{name}' fits this [model]: start from one of its backbone and width")
    if module.from_predictions and (lacking := [key for key in own if key.startswith(OF_BASE) and key not in fitting]):
        raise CheckpointError(
            f"'{name}' has no {lacking[0]} that fits this [model], and training on predictions leaves it as it is: "
            "start from the model whose code is to be trained, with its [model]"
        )
    module.model.load_state_dict(fitting, strict=False)
    if new := [key for key in own if key not in fitting]:
        rank_zero_info(f"{len(fitting)} tensors come from {name}; {len(new)} start at random, such as {new[0]}")


def _sources(experiment: Experiment) -> tuple[Source, Source]:
    data = experiment.data
    training, validation = (open_source(data.kind, data.root, split) for split in (data.train, data.validation))
    # What is left out must not choose the best epoch either. A full name of one split is no beginning in the other.
    left_out = named((*training.names, *validation.names), data.leave_out)
    kept = [name for name in validation.names if name not in left_out]
    if not kept:
        raise ConfigError(
            f"data.leave_out {list(data.leave_out)} leaves nothing of the split '{data.validation}': set "
            "data.validation to a split that has other samples"
        )
    return Subset(training, [name for name in training.names if name not in left_out]), Subset(validation, kept)


def _trainer(
    experiment: Experiment, out: Path, training: Source, best: ModelCheckpoint, progress: bool
) -> lightning.Trainer:
    hardware = experiment.hardware
    return lightning.Trainer(
        max_epochs=experiment.epochs,
        accelerator=hardware.accelerator,
        devices=hardware.devices or "auto",
        num_nodes=hardware.nodes,
        precision=hardware.precision,
        gradient_clip_val=experiment.optimiser.gradient_norm,
        use_distributed_sampler=False,  # TrainingData brings its own, whose order is repeatable
        sync_batchnorm=torch.cuda.is_available(),
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(10, len(training) // experiment.batch)),
        enable_progress_bar=progress,
        enable_model_summary=False,
        logger=[CSVLogger(out / "logs", name="csv"), TensorBoardLogger(out / "logs", name=None, version="")],
        callbacks=[
            best,
            # A callback of its own: `save_last` writes only when the best is beaten.
            ModelCheckpoint(out / "checkpoints", "last", enable_version_counter=False),
            LearningRateMonitor("step"),
            EpochReport(Console(stderr=True), experiment.loss.reconstruction > 0),
            *([Panels(out / "panels", training.classes)] if experiment.data.predictions is None else []),
            *([EMAWeightAveraging(decay=averaging)] if (averaging := experiment.optimiser.averaging) else []),
            *([RichProgressBar()] if progress else []),
        ],
    )


def model_card(experiment: Experiment, metrics: Mapping[str, Tensor], images: int) -> str:
    """The README.md of a trained model: data, command, machine, figures."""
    figures = "\n".join(
        f"| {name.removeprefix('val/')} | {float(value):.4f} |" for name, value in sorted(metrics.items())
    )
    data, (rows, columns) = experiment.data, experiment.model.size
    licence = "apache-2.0" if data.kind == "streets" else "other"  # what the licence of the images allows
    return f"""---
library_name: segcode
license: {licence}
pipeline_tag: image-segmentation
---
# SegCode trained on {data.kind}

S = f(I, c): a segmentation map as a function of the image and of a code of {experiment.model.code_size} numbers.

- For: {experiment.model.purpose}.
- Data: `{data.kind}`, split `{data.train}`, {images} images, scaled to {rows} x {columns} pixels;
  left out: {", ".join(data.leave_out) or "nothing"}.{_trained_on_predictions(experiment)}
- Command: `{shlex.join(["segcode", *sys.argv[1:]])}`
- Machine: {platform.machine()}, {torch.get_num_threads()} threads; torch {torch.__version__}, \
Python {platform.python_version()}.

These weights are those of the best epoch. Figures on split `{data.validation}`, at the training size, of the initial
prediction and of the map that the encoder's code for all labels gives:

| figure | value |
|---|---|
{figures}

The experiment:

```json
{json.dumps(asdict(experiment), indent=2, default=str)}
```
"""


def _trained_on_predictions(experiment: Experiment) -> str:
    if experiment.data.predictions is None:
        return ""
    parts = "Code path, label encoder and b"
    return f"\n- {parts}: trained on out-of-fold predictions; the rest is that of `{experiment.start}`."
