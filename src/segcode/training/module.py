"""What happens in one step and in one epoch, in Lightning's terms."""

from __future__ import annotations

import math
from fnmatch import fnmatch
from typing import Any

import lightning
import torch
from jaxtyping import Integer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from segcode.data.augment import Augment
from segcode.data.dataset import Item
from segcode.errors import DataError
from segcode.loss import segcode_loss
from segcode.metrics import confusion_matrix, mean_iou, pixel_accuracy
from segcode.model.features import Pyramid
from segcode.model.label_encoder import known_labels
from segcode.model.segcode import Reconstruction, SegCode
from segcode.refinement.linearise import linearise_at
from segcode.refinement.problem import held_at
from segcode.refinement.wholeness import told_as_whole
from segcode.tensors import IGNORE, ImageBatch, Labels
from segcode.training.episode import Episode, encode, episode_loss, in_turns, play, refined
from segcode.training.experiment import Experiment
from segcode.truth.truth import paste

WARM_UP = 0.05
"""Share of the steps over which the cosine schedule rises from zero."""


SCALES = 20
"""The few numbers that everything else is weighed with take so much longer steps."""


class TrainingModule(lightning.LightningModule):
    """Augment, reconstruct, Eq. 5; validation compares zero code with the encoder's code."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self.experiment = experiment
        self.model = SegCode(experiment.model)
        self.augment = Augment(experiment.augment)
        self.confusion: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(any(fnmatch(name, part) for part in experiment.optimiser.parts))

    def on_train_epoch_start(self) -> None:
        trained = any(parameter.requires_grad for parameter in self.model.features.parameters())
        for part in (self.model.features, self.model.label_encoder):  # the parts with batch statistics
            part.train(trained)

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        # Noise is a function of the step alone, so a run that was killed goes on exactly as it would have.
        step = self.global_step * self.trainer.world_size + self.global_rank
        torch.manual_seed(self.experiment.seed * 1_000_003 + step)

    def training_step(self, batch: Item, batch_idx: int) -> Tensor:
        image, labels = self.augment(batch.image.float() / 255, batch.labels.long())
        progress = self.global_step / self.trainer.estimated_stepping_batches
        episodes, classes = self.experiment.episodes, self.experiment.model.classes
        output = self.model(image, known_labels(labels, classes))
        loss = segcode_loss(output, labels, self.experiment.loss, progress)
        played = play(labels, output.zero, episodes)
        of_episodes = episode_loss(self.model, output.features, output.zero, labels, played, episodes)
        total = loss.total + of_episodes
        self.log("loss", total, prog_bar=True)
        parts = loss._replace(total=total)._asdict() | {"episodes": of_episodes}
        self.log_dict({f"train/{k}": v for k, v in parts.items()}, on_step=False, on_epoch=True, sync_dist=True)
        return total

    def on_validation_epoch_start(self) -> None:
        classes = self.experiment.model.classes
        empty = torch.zeros(classes, classes, dtype=torch.long, device=self.device)
        names = ("zero", "encoded", *(("unrevealed", "refined") if self.experiment.episodes.weight > 0 else ()))
        self.confusion = {name: empty.clone() for name in names}

    def validation_step(self, batch: Item, batch_idx: int) -> None:
        image: ImageBatch = batch.image.float() / 255
        labels: Labels = batch.labels.long()
        output = self.model(image, known_labels(labels, self.experiment.model.classes))
        for name, logits in (("zero", output.zero), ("encoded", output.logits)):
            self.confusion[name] += confusion_matrix(logits.argmax(1), labels, logits.shape[1])
        if self.experiment.episodes.weight > 0:
            self._validate_refinement(output, labels, batch_idx)
        loss = segcode_loss(output, labels, self.experiment.loss, progress=1.0)
        self.log_dict({f"val/{part}": value for part, value in loss._asdict().items()}, sync_dist=True)

    def _validate_refinement(self, output: Reconstruction, labels: Labels, turn: int) -> None:
        """Of each image a class is told as a whole, or clicks are; the other pixels are judged, before and after."""
        classes = self.experiment.model.classes
        called = output.zero.argmax(1).cpu()
        played = [in_turns(own, called[i], turn, classes) for i, own in enumerate(labels.cpu())]
        for i, episode in enumerate(played):
            before, after = self._refined(
                {stride: f[i : i + 1].float() for stride, f in output.features.items()}, episode
            )
            # What was told, not what was inferred: of two classes that names every pixel.
            hidden = labels[i].masked_fill(episode.truth.revealed().to(labels.device), IGNORE)
            for name, map_ in (("unrevealed", before), ("refined", after)):
                self.confusion[name] += confusion_matrix(map_, hidden, classes)

    def _refined(self, features: Pyramid, episode: Episode) -> tuple[Integer[Tensor, "H W"], Integer[Tensor, "H W"]]:
        """The maps of zero code and of a refinement as users get it: in 32 bits, with what is inferred."""
        config = self.experiment.episodes
        with torch.autocast(self.device.type, enabled=False):
            linearised = linearise_at(self.model, features)
            zero = linearised.base
            truth = episode.truth.completed(told_as_whole(episode.truth, episode.truth, zero))

            def propose() -> Tensor:
                first = torch.zeros(1, dtype=torch.long)
                return encode(self.model, features, zero[None], [episode.truth], first).mean[0]

            code = refined(self.model, linearised, held_at(linearised, config.held), propose, truth, config)
            return zero.argmax(0), paste(linearised.logits(code[None])[0], truth)

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
            scores[f"val/{name}_accuracy"] = pixel_accuracy(total.cpu())
            scores[f"val/{name}_mean_iou"] = mean_iou(total.cpu())
        self.log_dict(scores, prog_bar=True, sync_dist=True)  # the same on every process

    def configure_optimizers(self) -> OptimizerLRScheduler:
        config = self.experiment.optimiser
        scales = [p for p in self.model.evidence.parameters() if p.requires_grad]
        others = [p for p in self.parameters() if p.requires_grad and all(p is not scale for scale in scales)]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": scales, "lr": SCALES * config.learning_rate, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
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
