"""Figures of results: click curves, and Fig. 3 to 5 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from segcode.classes import ClassSet
from segcode.evaluation.calibration import CalibrationResults
from segcode.evaluation.masks import INITIAL, OPTIMISED, MaskResults
from segcode.evaluation.results import Results, Row
from segcode.export.comparison import corrections
from segcode.export.picture import heat

_MARKERS = "osD^vPX*"


def click_curves(results: Results) -> Figure:
    """Mean IoU, accuracy on all and on unlabelled pixels, and click efficiency, in percent, by clicks."""
    panels = (
        ("mean IoU", "mean_iou", "all"),
        ("pixel accuracy", "pixel_accuracy", "all"),
        ("accuracy on unlabelled pixels", "pixel_accuracy", "unlabelled"),
        ("click efficiency", "click_efficiency", "all"),
    )
    figure, axes_of = _panels(len(panels), 4)
    for axes, (title, score, pixels) in zip(axes_of, panels, strict=True):
        for index, method in enumerate(results.values("method", protocol="clicks")):
            rows = results.find(protocol="clicks", method=method, pixels=pixels)
            _line(axes, [int(row["amount"] or 0) for row in rows], rows, score, index)
        axes.set_title(f"{title} in %", fontsize=10)
        axes.set_xlabel("clicks an image")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _with_legend(figure, axes_of[0])


def pixel_curves(results: Results) -> Figure:
    """Error left after pasting that is removed, in percent, by labelled pixels; a panel for each class."""
    truths = results.values("truth", protocol="pixels")
    figure, axes_of = _panels(len(truths), 3)
    for axes, truth in zip(axes_of, truths, strict=True):
        for index, method in enumerate(results.values("method", protocol="pixels")):
            rows = results.find(protocol="pixels", method=method, truth=truth, pixels="all")
            _line(axes, [int(row["amount"] or 0) for row in rows], rows, "error_removed_after_pasting", index)
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_title(truth, fontsize=10)
        axes.set_xlabel("labelled pixels")
    axes_of[0].set_ylabel("error removed after pasting in %")
    return _with_legend(figure, axes_of[0])


def reliability_diagram(results: CalibrationResults) -> Figure:
    """Accuracy by confidence, before (blue) and after labels; below the dashed line probabilities are too high.

    The area of a marker is the share of the pixels in its bin.
    """
    states = dict.fromkeys((subject.truth, subject.amount) for subject in results.curves)
    figure, axes_of = _panels(len(states), 3)
    for axes, (truth, amount) in zip(axes_of, states, strict=True):
        axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
        for subject, curve in results.curves.items():
            if (subject.truth, subject.amount) == (truth, amount):
                colour, line = f"C{subject.protocol == 'after':d}", "-" if subject.method == "mode" else ":"
                label = f"{subject.protocol}, {subject.method}"
                axes.plot(curve.confidence, curve.accuracy, line, color=colour, label=label)
                axes.scatter(curve.confidence, curve.accuracy, 4 + 200 * curve.share, colour, alpha=0.4)
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set_title(f"{amount} {truth or 'clicks'}", fontsize=10)
        axes.legend(fontsize=7, loc="upper left")
    return figure


def iou_matrix(results: MaskResults, classes: ClassSet) -> Figure:
    """Fig. 5: IoU by class (rows) after optimising on the truth of one class (columns); initial prediction at the left.

    The two rows on top are the means: without the class whose truth was given, and of all classes. Small numbers are
    the change from the initial prediction.
    """
    (initial,) = results.find(method=INITIAL)
    columns = [initial, *results.find(method=OPTIMISED, pixels="all")]
    names = ["mean without truth class", "mean", *classes.names]
    scores = ["mean_iou_without_truth", "mean_iou", *(f"iou {name}" for name in classes.names)]
    values = np.array([[row.get(score) for row in columns] for score in scores], dtype=float)
    start = np.repeat(values[:, :1], len(columns), axis=1)
    start[0] = values[0, 0] = start[1, 0]
    start[0, 1:] = [_mean_without(initial, classes, row["truth"]) for row in columns[1:]]
    figure = Figure(figsize=(2.6 + len(columns), 0.42 * len(names) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(100 * values, cmap="YlGnBu", vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(len(columns)), [str(row["truth"] or INITIAL) for row in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_title("IoU in % after optimising on the truth of one class", fontsize=10)
    for i, j in np.ndindex(values.shape):
        value, change = 100 * values[i, j], 100 * (values[i, j] - start[i, j])
        text = "-" if np.isnan(value) else f"{value:.1f}" + (f" ({change:+.1f})" if j else "")
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if value > 60 else "black")
    return figure


def _mean_without(row: Row, classes: ClassSet, truth: object) -> float:
    scores = [row[f"iou {name}"] for name in classes.names if name != truth]
    return float(np.nanmean(np.array(scores, dtype=float)))


def examples_shown(results: MaskResults, truth: str | None) -> Figure:
    """Fig. 3 and 4: image, labels, encoder's code, initial prediction, optimised on one class, changes, and the chance
    that the learnt noise b changes the class.

    Among the changes, green was wrong and is right, red was right and is wrong.
    """
    columns = []
    for example in results.examples:
        image = example.image
        colours, initial = image.classes.colourise, image.initial.labels
        pictures = {"image": image.image, "labels": colours(image.labels)}
        if example.encoded is not None:
            pictures["encoder's code"] = colours(example.encoded)
        pictures[INITIAL] = colours(initial)
        if truth is not None:
            optimised = example.optimised[truth]
            pictures[f"optimised on {truth}"] = colours(optimised)
            pictures["changes"] = corrections(image.image, initial, optimised, image.labels)
        if (flips := image.initial.flip_probability()) is not None:
            pictures["chance that b changes the class"] = heat(flips)
        columns.append(pictures)
    return _pictures([list(column.values()) for column in columns], list(columns[0]))


def _pictures(columns: Sequence[Sequence[ndarray]], names: Sequence[str]) -> Figure:
    height, width = columns[0][0].shape[:2]
    figure = Figure(figsize=(3 * len(columns) + 0.4, 3 * len(names) * height / width), layout="constrained")
    for axes, (i, j) in zip(
        figure.subplots(len(names), len(columns), squeeze=False).flat, np.ndindex(len(names), len(columns)), strict=True
    ):
        axes.imshow(columns[j][i], interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        if j == 0:
            axes.set_ylabel(names[i], fontsize=9)
    return figure


def _panels(count: int, most: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, most)
    rows = ceil(count / columns)
    figure = Figure(figsize=(3.6 * columns + 0.6, 3.2 * rows + 0.6), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count]


def _line(axes: Axes, amounts: Sequence[int], rows: Sequence[Row], score: str, index: int) -> None:
    """Ten colours and eight markers; a gap where a score is undefined."""
    values = 100 * np.array([row.get(score) for row in rows], dtype=float)
    marker = _MARKERS[(index + index // 10) % len(_MARKERS)]
    label = str(rows[0]["method"]) if rows else None
    axes.plot(amounts, values, color=f"C{index % 10}", marker=marker, markersize=4, label=label)


def _with_legend(figure: Figure, axes: Axes) -> Figure:
    lines, names = axes.get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=min(4, max(1, len(names))), fontsize=9)
    return figure
