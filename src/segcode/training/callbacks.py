"""Reports of a running training: a line and a picture for each epoch, and a warning if the code collapses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from rich.console import Console
from torch import Tensor

from segcode.classes import ClassSet
from segcode.export.picture import heat, stacked, write_picture
from segcode.model.label_encoder import known_labels
from segcode.resampling import resize
from segcode.training.data import TrainingData
from segcode.training.module import TrainingModule

COLLAPSED = 0.002
"""A code carries nothing if its map is not more accurate than the initial prediction by this much."""


class EpochReport(Callback):
    """One line for each epoch, and a warning where a code that should reconstruct the labels has collapsed."""

    def __init__(self, console: Console, reconstructs: bool) -> None:
        self.console = console
        self.reconstructs = reconstructs

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        # Every process reads the metrics, which averages them over all; one prints them.
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not trainer.is_global_zero:
            return
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 1
        self.console.print(epoch_line(metrics, epoch, epochs), soft_wrap=True)
        if self.reconstructs and (warning := collapse(metrics, epoch, epochs)):
            rank_zero_warn(warning)


def epoch_line(metrics: Mapping[str, float], epoch: int, epochs: int) -> str:
    """Loss, accuracy of the initial prediction and of the encoder's code, and KL of an epoch."""
    return (
        f"epoch {epoch:3d} of {epochs}   loss {metrics['train/total']:.3f}   "
        f"val: initial {100 * metrics['val/initial_accuracy']:.2f} %   "
        f"encoder's code {100 * metrics['val/encoded_accuracy']:.2f} %   "
        f"mean IoU {100 * metrics['val/initial_mean_iou']:.1f} %   KL {metrics['val/kl']:.1f}"
    )


def collapse(metrics: Mapping[str, float], epoch: int, epochs: int) -> str | None:
    """A warning if the encoder's code does not improve the map once a third of the training is over."""
    initial, encoded = metrics["val/initial_accuracy"], metrics["val/encoded_accuracy"]
    if 3 * epoch < epochs or encoded - initial >= COLLAPSED:
        return None
    return (
        f"the code carries nothing: {100 * encoded:.2f} % with the encoder's code, {100 * initial:.2f} % without. "
        "Lower loss.kl_weight or raise loss.kl_warmup."
    )


class Panels(Callback):
    """A picture for each epoch: rows of image, truth, encoder's code, initial prediction and uncertainty."""

    def __init__(self, folder: Path, classes: ClassSet, count: int = 4) -> None:
        self.folder = folder
        self.classes = classes
        self.count = count

    @rank_zero_only
    @torch.no_grad()
    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if trainer.state.fn is not TrainerFn.FITTING or not (
            isinstance(data, TrainingData) and isinstance(pl_module, TrainingModule)
        ):
            return
        step = max(1, len(data.validation) // self.count)
        items = [data.validation[i] for i in range(0, len(data.validation), step)][: self.count]
        image = torch.stack([item.image for item in items]).to(pl_module.device)
        labels = torch.stack([item.labels for item in items]).to(pl_module.device)
        output = pl_module.model(image.float() / 255, known_labels(labels, len(self.classes)))
        initial, encoded, uncertainty = (resize(each.float(), labels.shape[1:]) for each in output[:3])
        rows = [
            [
                image[i].permute(1, 2, 0).cpu().numpy(),
                self._colours(labels[i]),
                self._colours(encoded[i].argmax(0)),
                self._colours(initial[i].argmax(0)),
                heat(uncertainty[i, 0].cpu().numpy()),
            ]
            for i in range(len(items))
        ]
        write_picture(self.folder / f"epoch_{trainer.current_epoch + 1:03d}.png", stacked(rows))

    def _colours(self, labels: Tensor) -> np.ndarray:
        return self.classes.colourise(labels.cpu().numpy().astype(np.uint8))
