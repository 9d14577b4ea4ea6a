"""Train the rivals' heads on the frozen features of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from segcode.batches import ImageBatch, Labels
from segcode.classes import ClassSet
from segcode.config import Count, NotNegative
from segcode.data.augment import Augment, AugmentConfig
from segcode.data.dataset import Item, LabelledImages
from segcode.data.select import check_classes
from segcode.errors import DataError, TrainingError
from segcode.evaluation.baselines.heads import Heads, HeadsConfig
from segcode.evaluation.baselines.probabilistic_u_net import punet_loss
from segcode.evaluation.baselines.ssn import at, ssn_loss
from segcode.model.segcode import SegCode
from segcode.resampling import nearest
from segcode.sample import Source


@dataclass(frozen=True)
class HeadTraining:
    """How the heads are trained: AdamW, its learning rate falls to 0 as a cosine.

    Args:
        learning_rate: at the start.
        weight_decay: decoupled.
        beta: weight of the probabilistic U-Net's KL term; 1 is the evidence lower bound.
        samples: draws of the stochastic segmentation network's loss; 20 as in the paper.
        pixels: of each image that enter that loss.
        seed: of the first weights, the order of the images and all noise.
    """

    epochs: Count = 20
    batch: Count = 8
    learning_rate: NotNegative = 1e-3
    weight_decay: NotNegative = 1e-4
    beta: NotNegative = 1.0
    samples: Count = 20
    pixels: Count = 1024
    seed: int = 0


class EpochLosses(NamedTuple):
    """Means over an epoch.

    Attributes:
        punet: `punet_loss`, the total.
        kl: of the probabilistic U-Net, in nats an image.
    """

    ssn: float
    punet: float
    kl: float


class TrainedHeads(NamedTuple):
    """Heads in evaluation mode, and the losses of each epoch."""

    heads: Heads
    losses: tuple[EpochLosses, ...]


def train_heads(
    model: SegCode,
    classes: ClassSet,
    source: Source,
    config: HeadTraining,
    augment: AugmentConfig | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
    report: Callable[[int, EpochLosses], None] | None = None,
) -> TrainedHeads:
    """Train both heads side by side, where the model is; it does not change.

    The images are read once and kept at the size of the model's training. They are changed as in the training of models
    if `augment` is not given. `report` gets the number of each epoch, from 1, and its losses.

    Raises:
        DataError: if the source has other classes than the model, no image, or one without labels.
        TrainingError: if a loss is not finite.
    """
    check_classes(source, classes)
    if len(source) == 0:
        raise DataError("there is no image to train the rivals on: choose another split, or leave out fewer samples")
    model.eval()
    device = next(model.parameters()).device
    images = LabelledImages(source, *model.config.size, preload=True)
    order = torch.Generator().manual_seed(config.seed)
    loader = DataLoader(images, min(config.batch, len(images)), shuffle=True, drop_last=True, generator=order)
    augmented = Augment(augment or AugmentConfig())
    torch.manual_seed(config.seed)
    heads = Heads(model, HeadsConfig()).to(device).train()
    optimiser = torch.optim.AdamW(heads.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs * len(loader))
    epochs = []
    for epoch in progress(range(config.epochs)):
        steps: list[Tensor] = []
        for batch in loader:
            batch = Item(*(column.to(device) for column in batch))
            changed = augmented(batch.image.float() / 255, batch.labels.long())
            losses = _losses(model, heads, changed.images, changed.labels, config)
            if not torch.isfinite(losses).all():
                raise TrainingError(
                    f"a rival's loss is not finite in epoch {epoch + 1}, step {len(steps) + 1}: lower --beta, or check "
                    "the data with `segcode data check`"
                )
            optimiser.zero_grad()
            (losses[0] + losses[1]).backward()
            for head in (heads.low_rank, heads.latent):  # separately: one large gradient must not shrink the other
                nn.utils.clip_grad_norm_(head.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            steps.append(losses.detach())
        epochs.append(EpochLosses(*torch.stack(steps).mean(0).tolist()))
        if report is not None:
            report(epoch + 1, epochs[-1])
    return TrainedHeads(heads.eval(), tuple(epochs))


def _losses(model: SegCode, heads: Heads, image: ImageBatch, labels: Labels, config: HeadTraining) -> Tensor:
    """The fields of `EpochLosses`."""
    with torch.no_grad():
        features = model.see(image)
        base = model.decoder.base(features)
    labels = nearest(labels, base.shape[2:])
    chosen = torch.randint(labels[0].numel(), (config.pixels,), device=labels.device)
    low_rank = heads.low_rank(features, chosen)
    ssn = ssn_loss(at(base, chosen), low_rank, at(labels, chosen), config.samples)
    punet = punet_loss(heads.latent, features, base, labels, config.beta)
    return torch.stack([ssn, punet.total, punet.kl])
