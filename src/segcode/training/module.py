"""A training step, a validation and the optimiser, in Lightning's terms."""

from __future__ import annotations

import math
from fnmatch import fnmatch

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from segcode.data.augment import Augment
from segcode.data.dataset import Item
from segcode.errors import DataError, TrainingError
from segcode.loss import LossParts, segcode_loss
from segcode.metrics import confusion_matrix, mean_iou, pixel_accuracy
from segcode.model.label_encoder import known_labels
from segcode.model.segcode import Reconstruction, build_segcode
from segcode.resampling import resize
from segcode.tensors import IGNORE
from segcode.training.experiment import Experiment

ENCODER = "features.encoder."
"""The beginning of the names of parameters that may start from ImageNet weights."""
OF_BASE = ("features.", "decoder.of_zero.")
"""Those of parameters that give the initial prediction."""
OF_CODE = ("prediction_features.", "decoder.grid.", "decoder.of_code.", "label_encoder.", "uncertainty.")
"""The beginnings of the names of parameters that are trained on out-of-fold predictions."""
WARM_UP = 0.05
"""Share of the steps over which the cosine schedule rises from zero."""


class TrainingModule(lightning.LightningModule):
    """Augment, reconstruct, Eq. 5. Validation compares the initial prediction with the map of the encoder's code.

    Where the experiment has out-of-fold predictions, these are what is augmented, and take the place of S0.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self.experiment = experiment
        self.model = build_segcode(experiment.model)
        self.from_predictions = experiment.data.predictions is not None
        self.augment = Augment(experiment.augment.of_shape_alone() if self.from_predictions else experiment.augment)
        self.confusion: dict[str, Tensor] = {}
        self.labelled = False
        for name, parameter in self.model.named_parameters():
            trained = not self.from_predictions or name.startswith(OF_CODE)
            parameter.requires_grad_(trained and any(fnmatch(name, part) for part in experiment.optimiser.parts))

    def on_train_epoch_start(self) -> None:
        self.labelled = False
        for layer in self.model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.train(layer.weight.requires_grad)

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        # Noise is a function of the step alone, so that a resumed run equals one that was never stopped.
        step = self.global_step * self.trainer.world_size + self.global_rank
        torch.manual_seed(self.experiment.seed * 1_000_003 + step)

    def training_step(self, batch: Item, batch_idx: int) -> Tensor:
        given, labels = self.augment(self._given(batch), batch.labels.long())
        progress = self.global_step / self.trainer.estimated_stepping_batches
        output = self._output(given, labels)
        loss = segcode_loss(output, labels, self.experiment.loss, progress)
        self._refuse_not_finite(loss, f"step {batch_idx + 1}")
        self.labelled = self.labelled or bool((batch.labels != IGNORE).any())
        self.log("loss", loss.total, prog_bar=True)
        parts = {f"train/{name}": value for name, value in loss._asdict().items()}
        self.log_dict(parts, on_step=False, on_epoch=True, sync_dist=True)
        return loss.total

    def on_train_epoch_end(self) -> None:
        labelled = self.trainer.strategy.reduce(torch.tensor(float(self.labelled), device=self.device), reduce_op="sum")
        if not labelled:
            raise DataError(
                f"no pixel of the split '{self.experiment.data.train}' is labelled, so there is nothing to learn: set "
                "data.train to a split that has labels"
            )

    def _refuse_not_finite(self, loss: LossParts, where: str) -> None:
        if not torch.isfinite(loss.total):
            raise TrainingError(
                f"the loss is {float(loss.total.detach())} in epoch {self.current_epoch + 1}, {where}: "
                "lower optimiser.learning_rate, clip with optimiser.gradient_norm, or look for faults of the data with "
                "`segcode data check`; then train in a new folder"
            )

    def _given(self, batch: Item) -> Tensor:
        return batch.image.float() if self.from_predictions else batch.image.float() / 255

    def _output(self, given: Tensor, labels: Tensor) -> Reconstruction:
        known = known_labels(labels, self.experiment.model.classes)
        output = self.model.reconstruct(given, {}, known) if self.from_predictions else self.model(given, known)
        assert isinstance(output, Reconstruction)
        return output

    def on_validation_epoch_start(self) -> None:
        classes = self.experiment.model.classes
        empty = torch.zeros(classes, classes, dtype=torch.long, device=self.device)
        self.confusion = {name: empty.clone() for name in ("initial", "encoded")}

    def validation_step(self, batch: Item, batch_idx: int) -> None:
        labels = batch.labels.long()
        output = self._output(self._given(batch), labels)
        for name, logits in (("initial", output.base_logits), ("encoded", output.logits)):
            found = resize(logits, labels.shape[1:]).argmax(1)
            self.confusion[name] += confusion_matrix(found, labels, logits.shape[1])
        loss = segcode_loss(output, labels, self.experiment.loss, progress=1.0)
        self._refuse_not_finite(loss, "validation")
        self.log_dict({f"val/{part}": value for part, value in loss._asdict().items()}, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        scores = {}
        for name, matrix in self.confusion.items():
            total = self.trainer.strategy.reduce(matrix, reduce_op="sum")
            assert isinstance(total, Tensor)
            if not total.any():
                raise DataError(
                    f"no pixel of the split '{self.experiment.data.validation}' is labelled, so no epoch can be called "
                    "the best: set data.validation to a split that has labels"
                )
            scores[f"val/{name}_accuracy"] = float(pixel_accuracy(total))
            scores[f"val/{name}_mean_iou"] = float(mean_iou(total))
        self.log_dict(scores, prog_bar=True, sync_dist=True)  # the same on every process

    def configure_optimizers(self) -> OptimizerLRScheduler:
        config = self.experiment.optimiser
        trained = [(name, each) for name, each in self.model.named_parameters() if each.requires_grad]
        groups = [
            {"params": [each for name, each in trained if name.startswith(ENCODER) == encoder], "lr": rate}
            for encoder, rate in ((False, config.learning_rate), (True, config.encoder_rate * config.learning_rate))
        ]
        optimiser = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=config.weight_decay)
        if config.schedule == "constant":
            return optimiser
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step / steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def cosine(progress: float) -> float:
    """The learning rate's share of its peak at a point of the training in 0..1."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))
