"""Label files with the ids of the data set, as official evaluations read them."""

from __future__ import annotations

from pathlib import Path

from segcode.classes import ClassSet
from segcode.export.picture import write_picture
from segcode.tensors import LabelImage


def write_label_ids(path: Path, labels: LabelImage, classes: ClassSet) -> None:
    """Write class indices (H, W) as a one-channel PNG of the ids that the data set's own label files use.

    `read_index_labels` with the same ids reads it back.
    """
    write_picture(path, classes.to_raw(labels))
