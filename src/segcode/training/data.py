"""Batches for Lightning, in an order that is a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import lightning
from lightning.pytorch.accelerators import CUDAAccelerator
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from segcode.data.dataset import Item, LabelledImages
from segcode.data.resize import as_many
from segcode.model.segcode import SegCode
from segcode.sample import Sample, Source
from segcode.training.experiment import Experiment
from segcode.training.folds import StoredPredictions, predicted


class TrainingData(lightning.LightningDataModule):
    """Training and validation images of an experiment at the size of its model, or its predictions of them.

    Args:
        complete: epochs that a resumed training has behind it.
    """

    def __init__(
        self, experiment: Experiment, train: Source, validation: Source, model: SegCode, complete: int = 0
    ) -> None:
        super().__init__()
        self.experiment = experiment
        self.complete = complete
        preload, predictions = experiment.data.preload, experiment.data.predictions
        if predictions is None:
            self.train, self.validation = (
                LabelledImages(source, *experiment.model.size, preload) for source in (train, validation)
            )
            return
        views: tuple[Callable[[Sample], Tensor], ...] = (
            StoredPredictions(predictions, train.classes),
            partial(predicted, model),
        )
        self.train, self.validation = (
            LabelledImages(source, *as_many(experiment.model.size, experiment.model.code_cells), True, view)
            for source, view in zip((train, validation), views, strict=True)
        )

    def train_dataloader(self) -> DataLoader[Item]:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> DataLoader[Item]:
        return self._loader(self.validation, shuffle=False)

    def _loader(self, images: LabelledImages, shuffle: bool) -> DataLoader[Item]:
        assert self.trainer is not None
        processes, rank = self.trainer.world_size, self.trainer.global_rank
        sampler: DistributedSampler[Item] | range
        if shuffle:
            # Used with one process too: its order follows from the seed and the epoch, so a resumed run sees the same.
            sampler = DistributedSampler(images, processes, rank, seed=self.experiment.seed, drop_last=True)
            sampler.set_epoch(self.complete)  # Lightning says the epoch when reading processes have begun with another
        else:
            sampler = range(rank, len(images), processes)  # each image once, which DistributedSampler does not promise
        workers = 0 if self.experiment.data.preload else self.experiment.data.workers
        return DataLoader(
            images,
            max(1, min(self.experiment.batch // processes, len(sampler))),
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=isinstance(self.trainer.accelerator, CUDAAccelerator),
            drop_last=shuffle,
        )
