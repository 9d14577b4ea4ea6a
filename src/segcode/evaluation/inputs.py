"""What every measurement asks of its data."""

from __future__ import annotations

from segcode.errors import DataError
from segcode.model.checkpoint import LoadedModel
from segcode.sample import Sample, Source
from segcode.tensors import LabelImage


def check_classes(trained: LoadedModel, source: Source) -> None:
    """Raises DataError if a source has other classes than a model."""
    if source.classes.names != trained.classes.names:
        raise DataError(
            f"the data has the classes {', '.join(source.classes.names)}, the model "
            f"{', '.join(trained.classes.names)}: a model fits data of the classes that it was trained on alone"
        )


def labels_of(sample: Sample) -> LabelImage:
    """The labels of a sample. Raises DataError if it has none."""
    if sample.labels is None:
        raise DataError(f"'{sample.name}' has no labels: evaluate on a split that is labelled")
    return sample.labels
