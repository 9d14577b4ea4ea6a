"""Fig. 3, 4 and 5 of the paper, from an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from segcode.evaluation.protocol import Evaluation
from segcode.export.comparison import corrections
from segcode.export.picture import heat
from segcode.tensors import Image


def iou_matrix(evaluation: Evaluation) -> Figure:
    """Fig. 5: IoU by class (rows) after optimising on the truth of one class (columns), zero code at the left.

    The two rows on top are the means: without the class whose truth was given, and of all classes. Small numbers are
    the change from zero code.
    """
    truths = evaluation.truths
    zero = evaluation.row("zero")
    optimised = [evaluation.row("optimised", truth) for truth in truths]
    without = [_mean_without(zero.iou, None), *(row.mean_iou_without_truth for row in optimised)]
    rows = ["mean without truth class", "mean", *evaluation.classes.names]
    values = np.array(
        [without, [r.mean_iou for r in (zero, *optimised)]]
        + [[r.iou[name] for r in (zero, *optimised)] for name in evaluation.classes.names],
        dtype=float,
    )
    start = np.repeat(values[:, :1], len(truths) + 1, axis=1)
    start[0, 1:] = [_mean_without(zero.iou, truth) for truth in truths]
    figure = Figure(figsize=(2.6 + 1.0 * (len(truths) + 1), 0.42 * len(rows) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(100 * values, cmap="YlGnBu", vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(len(truths) + 1), ["zero code", *truths], rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title("IoU in % after optimising on the truth of one class", fontsize=10)
    for i, j in np.ndindex(values.shape):
        axes.text(
            j,
            i,
            _cell(float(values[i, j]), float(start[i, j]), first=j == 0),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if values[i, j] > 0.6 else "black",
        )
    return figure


def _cell(value: float, start: float, first: bool) -> str:
    if np.isnan(value):
        return "-"
    return f"{100 * value:.1f}" if first else f"{100 * value:.1f} ({100 * (value - start):+.1f})"


def _mean_without(iou: dict[str, float | None], truth: str | None) -> float:
    return float(np.nanmean([np.nan if v is None else v for name, v in iou.items() if name != truth]))


def predictions(evaluation: Evaluation) -> Figure:
    """Fig. 3: image, labels, map of the encoder's code, map of zero code, learnt uncertainty."""
    colours = evaluation.classes.colourise
    columns = []
    for example in evaluation.examples:
        labels = example.sample.labels
        assert labels is not None
        columns.append(
            [
                example.sample.image,
                colours(labels),
                colours(example.encoded),
                colours(example.zero.labels),
                heat(example.zero.uncertainty),
            ]
        )
    return _panel(columns, ["image", "labels", "encoder's code", "zero code", "uncertainty b"])


def refinements(evaluation: Evaluation, truth: str) -> Figure:
    """Fig. 4: image, labels, encoder's code, zero code, optimised on one class, what that changed, and uncertainty b.

    Among the changes green was wrong and is right, red was right and is wrong. b is the image's, whatever the code.
    """
    classes = evaluation.classes
    columns = []
    for example in evaluation.examples:
        labels = example.sample.labels
        assert labels is not None
        optimised = example.optimised[truth]
        columns.append(
            [
                example.sample.image,
                classes.colourise(labels),
                classes.colourise(example.encoded),
                classes.colourise(example.zero.labels),
                classes.colourise(optimised),
                corrections(example.sample.image, example.zero.labels, optimised, labels),
                heat(example.zero.uncertainty),
            ]
        )
    names = ["image", "labels", "encoder's code", "zero code", f"optimised on {truth}", "changes", "uncertainty b"]
    return _panel(columns, names)


def _panel(columns: Sequence[Sequence[Image | Float[ndarray, "H W"]]], names: Sequence[str]) -> Figure:
    height, width = columns[0][0].shape[:2]
    figure = Figure(figsize=(3 * len(columns) + 0.4, 3 * len(names) * height / width), layout="constrained")
    for axes, (i, j) in zip(
        figure.subplots(len(names), len(columns), squeeze=False).flat,
        np.ndindex(len(names), len(columns)),
        strict=True,
    ):
        axes.imshow(columns[j][i], interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        if j == 0:
            axes.set_ylabel(names[i], fontsize=9)
    return figure
