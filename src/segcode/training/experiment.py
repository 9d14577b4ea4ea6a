"""One training as a document: a TOML file that holds only what differs from these defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from segcode.config import Count, Index, NotNegative, changed, parse, read_toml
from segcode.data.augment import AugmentConfig
from segcode.data.sources import Kind
from segcode.loss import LossConfig
from segcode.model.config import ModelConfig


@dataclass(frozen=True)
class DataConfig:
    """The data to train on.

    Args:
        kind: camvid, cityscapes, folder or streets.
        root: folder of the data set; streets need none. The command line can set it.
        train: the split to train on.
        validation: the split that each epoch is measured on.
        leave_out: names of samples, or their beginnings (such as a sequence's), that are neither trained on nor
            validated with.
        predictions: folder of out-of-fold predictions of the images to train on, which `segcode train --folds` writes.
            Then code path, label encoder and b are trained on these, and the rest stays as `start` has it.
        preload: keep all images in memory at the training size; for small sets reading then costs nothing.
        workers: processes that read, where nothing is preloaded.
    """

    kind: Kind = "streets"
    root: Path | None = None
    train: str = "train"
    validation: str = "val"
    leave_out: tuple[str, ...] = ()
    predictions: Path | None = None
    preload: bool = True
    workers: Index = 2


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam, with the paper's defaults (Sect. 2.2).

    Args:
        learning_rate: its peak, where the schedule changes it.
        schedule: "constant" is the paper's; "cosine" warms up over 5 % of the steps, then falls to nothing.
        weight_decay: decoupled (AdamW); 0 is plain Adam.
        encoder_rate: factor on the learning rate of an encoder that may start from ImageNet weights.
        parts: names of the parameters that are trained, as patterns; the others stay those of `start`, and so do the
            statistics of a batch norm whose weights are not trained.
        gradient_norm: gradients are clipped to this length, 0 for never. Otherwise a few early steps can undo many.
        averaging: decay, such as 0.999, of a running mean of the weights that is validated and kept in place of the
            weights; 0 for the weights themselves.
    """

    learning_rate: NotNegative = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: NotNegative = 0.0
    encoder_rate: NotNegative = 1.0
    parts: tuple[str, ...] = ("*",)
    gradient_norm: NotNegative = 5.0
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.0


@dataclass(frozen=True)
class HardwareConfig:
    """Where to train; the defaults use all that the machine has.

    Args:
        accelerator: auto, cpu or gpu.
        devices: their number; 0 takes all.
        nodes: machines that take part (DDP).
        precision: 32-true, bf16-mixed or 16-mixed.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Index = 0
    nodes: Count = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"


@dataclass(frozen=True)
class Experiment:
    """One training. Where the paper gives a number (Sect. 2.2) it is the default; `experiments/paper.toml` also turns
    off what we added: augmentation, clipping, the warm-up of the KL weight, the coarse code path.

    Args:
        epochs: passes over the training split.
        batch: images in a step, over all devices.
        seed: of the first weights, the order of the images and all noise.
        start: a model folder, or a shipped model's name, whose weights the training starts from instead of random ones;
            "imagenet" for an EfficientNet-Lite0 that has learnt to classify photographs; "huggingface:" and a folder or
            name for a backbone of Hugging Face's transformers. With folds, also the folder of an earlier run of these.
    """

    epochs: Count = 80
    batch: Count = 8
    seed: Index = 0
    start: str | None = None
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)


def read_experiment(path: Path, changes: Sequence[str] = ()) -> Experiment:
    """Read an experiment file, and change it by "table.key=value" with values as in TOML.

    Raises:
        ConfigError: naming the key, the value and the cure.
    """
    return parse(Experiment, changed(read_toml(path), changes), str(path))
