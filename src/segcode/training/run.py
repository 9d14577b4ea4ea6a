"""Run an experiment: from the file to a folder with the trained model, logs, pictures and checkpoints."""

from __future__ import annotations

import json
import logging
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeGuard

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from rich.console import Console
from torch import Tensor

from segcode.classes import ClassSet
from segcode.data.pairs import in_both, summary_of_notes
from segcode.data.select import Subset, named
from segcode.data.sources import open_source
from segcode.efficientnet import imagenet_weights
from segcode.errors import CheckpointError, ConfigError, DataError, listed
from segcode.model.checkpoint import LoadedModel, fit, load_model, save_model
from segcode.model.huggingface_features import backbone_config, backbone_weights
from segcode.model.segcode import build_segcode
from segcode.sample import Source
from segcode.stored import read_stored
from segcode.training.callbacks import EpochReport, Panels
from segcode.training.checkpoints import Checkpoints, WholeFiles, read_checkpoint
from segcode.training.data import TrainingData
from segcode.training.experiment import Experiment
from segcode.training.folds import describe_predictions, fold_experiments, write_predictions
from segcode.training.module import ENCODER, OF_BASE, TrainingModule
from segcode.training.run_folder import held, remember

HUGGINGFACE = "huggingface:"
"""The beginning of a `start` that names a backbone of transformers by folder or name."""


def train(experiment: Experiment, out: Path, resume: bool = False, progress: bool = True) -> Path:
    """Train, and return the folder of the best model, `out/model`.

    The best epoch is that with the most accurate initial predictions on the validation split, or, on out-of-fold
    predictions, with the most accurate maps of the encoder's code. `out` also gets `checkpoints/` (best and last),
    `logs/` (CSV and TensorBoard) and `panels/`.

    `out` must be a new folder, unless `resume`: then the training goes on from `out/checkpoints/last.ckpt`, and the
    result equals that of a run that was never stopped. `out` may have been moved meanwhile.

    Raises:
        CheckpointError: if `out` has a training already and `resume` is False, or has none or a damaged one and it is
            True; if the model to start from does not fit.
        ConfigError: if the experiment is not the one to resume, or too large for this machine.
        DataError: if a sample cannot be read, nothing is labelled, or another process trains in `out`.
        TrainingError: if the loss is not finite.
    """
    with held(out):
        return _train(experiment, out, resume, progress)


def _train(experiment: Experiment, out: Path, resume: bool, progress: bool) -> Path:
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

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its tips do not concern our users
    warnings.filterwarnings("ignore", ".*LeafSpec")  # Lightning's use of PyTorch, not ours
    lightning.seed_everything(experiment.seed, workers=True, verbose=False)
    training, validation = _sources(experiment)
    rank_zero_only(_print_notes)(experiment, training, validation)
    complete = read_checkpoint(last)["epoch"] + 1 if resume else 0
    remember(experiment, (training, validation), out / "experiment.json", complete)
    model = replace(experiment.model, classes=len(training.classes), trained_on=_seen(experiment))
    if experiment.start is not None and experiment.start.startswith(HUGGINGFACE):
        model = replace(model, huggingface=backbone_config(experiment.start.removeprefix(HUGGINGFACE)))
    experiment = replace(experiment, model=model)
    _refuse_too_large(experiment, len(training))
    module = TrainingModule(experiment)
    if experiment.start is not None:
        _start_from(experiment.start, module, training.classes)
    if resume:
        for path in (last, _best_of(last)):
            fit(read_checkpoint(path)["state_dict"], module, path, "experiment")
    monitor = "val/encoded_accuracy" if module.from_predictions else "val/initial_accuracy"
    best = Checkpoints(out / "checkpoints", "best", monitor)
    trainer = _trainer(experiment, out, training, best, progress)
    data = TrainingData(experiment, training, validation, module.model, complete)
    module.train()  # predictions of validation images left it in evaluation mode
    try:
        trainer.fit(module, datamodule=data, ckpt_path=last if resume else None, weights_only=True)
    except DataError as error:
        # From a reading process it comes with that process's traceback in its text.
        raise DataError(str(error).strip().splitlines()[-1].removeprefix("segcode.errors.DataError: ")) from None
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            f"batches of {min(experiment.batch, len(training))} and images of {model.size} leave one pixel at the "
            "coarsest stride, and batch norm needs two: set model.size or batch to more"
        ) from None
    # The figures of the card are those of the weights beside it.
    trainer.validate(module, datamodule=data, ckpt_path=best.best_model_path, verbose=False, weights_only=True)
    # Beside a running mean the module holds the weights that the training would go on with.
    module.load_state_dict(read_checkpoint(Path(best.best_model_path))["state_dict"])
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
        out: a folder. If `experiment.start` is such a folder, each network starts from that of its own fold there.
        progress: whether to show a bar.

    Raises:
        CheckpointError, ConfigError, DataError: as `train` does.
    """
    earlier = Path(experiment.start or "") / "folds"
    going_on = experiment.start is not None and earlier.is_dir()
    if not going_on:
        _refuse_seen(experiment)
    with held(out):
        digests: dict[str, str] = {}
        for name, plan, left_out in fold_experiments(experiment, folds):
            folder = out / "folds" / name
            if going_on:
                plan = _going_on(plan, earlier / name)
            if (folder / "model").is_dir():
                remember(plan, _sources(plan), folder / "experiment.json", plan.epochs, finished=True)
            else:
                rank_zero_info(f"fold {name}: training without its {len(left_out)} images")
                train(plan, folder, (folder / "checkpoints" / "last.ckpt").is_file(), progress)
            model = load_model(folder / "model")
            digests |= rank_zero_only(write_predictions)(out / "predictions", model.model, left_out) or {}
        rank_zero_only(describe_predictions)(out / "predictions", model.classes, digests)
    return out / "predictions"


def _best_of(last: Path) -> Path:
    """The best checkpoint beside the last one."""
    return last.with_name("best.ckpt")


def _seen(experiment: Experiment) -> tuple[str, ...]:
    """Kinds of data that the model of an experiment learns from, with those of the model that it starts from."""
    start = load_model(experiment.start).model.config.trained_on if _is_model(experiment.start) else ()
    return tuple(dict.fromkeys((*start, experiment.data.kind)))


def _is_model(start: str | None) -> TypeGuard[str]:
    return start is not None and start != "imagenet" and not start.startswith(HUGGINGFACE)


def _refuse_seen(experiment: Experiment) -> None:
    """Raises ConfigError if the networks of folds would start from one that may have learnt from left-out images."""
    if not _is_model(experiment.start):
        return
    seen = load_model(experiment.start).model.config.trained_on
    if not seen or "folder" in seen or experiment.data.kind in seen:
        raise ConfigError(
            f"start is '{experiment.start}', which was trained on {', '.join(seen) or 'unknown data'}, so it may have "
            "seen the images that a fold leaves out: start from 'imagenet', from a model of other data, or from none"
        )


def _going_on(experiment: Experiment, fold: Path) -> Experiment:
    """The same from the network of an earlier fold, which has to have been trained without the same images."""
    if not (fold / "model").is_dir():
        raise ConfigError(f"{fold} has no model: start from a folder with all of these folds")
    data = read_stored(fold / "experiment.json", "`segcode train --folds`")["experiment"]["data"]
    if seen := set(experiment.data.leave_out) - set(data["leave_out"]):
        raise ConfigError(f"{fold / 'model'} was trained on {min(seen)}, which this fold leaves out: give its --folds")
    return replace(experiment, start=str(fold / "model"))


def _refuse_too_large(experiment: Experiment, images: int) -> None:
    """Raises ConfigError if weights or images need more memory than the machine has."""
    model, (rows, columns) = experiment.model, experiment.model.size
    try:
        with torch.device("meta"):  # shapes alone
            numbers = sum(each.numel() for each in build_segcode(replace(model, code_start="random")).parameters())
    except (RuntimeError, OverflowError) as error:
        raise ConfigError(f"[model] makes no network ({str(error).splitlines()[0]}): lower its sizes") from None
    weights = 4 * 4 * numbers  # themselves, gradients and two moments
    batch = 4 * (3 + model.classes) * min(experiment.batch, images) * rows * columns
    kept = 4 * images * rows * columns if experiment.data.preload and experiment.data.predictions is None else 0
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if weights + batch + kept > memory:
        raise ConfigError(
            f"training needs at least {weights / 1e9:.1f} GB for {numbers} weights, {batch / 1e9:.1f} GB for a batch "
            f"and {kept / 1e9:.1f} GB for preloaded images, and this machine has {memory / 1e9:.1f} GB: lower "
            "model.width, model.code_size, model.size or batch, or set data.preload to false"
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
        if start.classes.names != classes.names:
            both = f"{name} has the classes {listed(start.classes.names)}, and the data {listed(classes.names)}"
            rank_zero_only(print)(f"{both}: its weights for classes are a start for others", file=sys.stderr)
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
    # Images left out must not choose the best epoch either. A full name of one split is no beginning in the other.
    left_out = named((*training.names, *validation.names), data.leave_out)
    kept = [name for name in validation.names if name not in left_out]
    if not kept:
        raise ConfigError(
            f"data.leave_out {list(data.leave_out)} leaves nothing of the split '{data.validation}': set "
            "data.validation to a split that has other samples"
        )
    return Subset(training, [name for name in training.names if name not in left_out]), Subset(validation, kept)


def _print_notes(experiment: Experiment, training: Source, validation: Source) -> None:
    data = experiment.data
    for split, source in {data.train: training, data.validation: validation}.items():
        if notes := summary_of_notes(source):
            print(f"{split}: {notes}", file=sys.stderr)
    if seen := in_both(validation, training):
        print(
            f"{data.validation}: {len(seen)} of {len(validation)} images are trained on, too, the first: {seen[0]}: "
            "the figures do not say how the model does on other images",
            file=sys.stderr,
        )


def _trainer(
    experiment: Experiment, out: Path, training: Source, best: Checkpoints, progress: bool
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
        plugins=[WholeFiles()],
        callbacks=[
            best,
            # A callback of its own: `save_last` writes only when the best is beaten.
            Checkpoints(out / "checkpoints", "last"),
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
