"""Effort curves as files: tables, figures, and `effort.json` for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segcode.evaluation.bootstrap import Interval, Paired, accuracy_gained, mean_iou_gained
from segcode.evaluation.effort import PASTED, WHOLE, Amount, Effort, Key, Row
from segcode.evaluation.methods import Optimised
from segcode.evaluation.protocol import PixelSet
from segcode.evaluation.report import provenance, write_figure
from segcode.evaluation.tables import comma_separated, markdown, percent
from segcode.files import write_text

_COLUMNS = 3  # of panels in a figure

_Score = tuple[str, PixelSet, str]
"""A field of `Row`, on which pixels, and what a table calls that."""

_REMOVED: Final[_Score] = ("error_removed", "all", "Error removed after pasting")
_SCORES: Final[tuple[_Score, ...]] = (
    ("pixel_accuracy", "all", "Pixel accuracy"),
    ("pixel_accuracy", "unrevealed", "Accuracy on unrevealed pixels"),
    ("mean_iou", "all", "Mean IoU"),
)


def write_effort(effort: Effort, out: Path, command: str, settings: Mapping[str, object]) -> None:
    """Write `effort.json` with command, commit, versions, settings and rows, all rows as `effort.csv`, what to read
    of them as `effort.md`, and of the protocols that were measured `effort_pixels.png` and `effort_clicks.png`.

    `effort.json` comes first: hours of measuring must not be lost to a picture.
    """
    out.mkdir(parents=True, exist_ok=True)
    results = provenance(command, settings) | {
        "images": effort.images,
        "rows": [asdict(row) for row in effort.rows],
    }
    write_text(out / "effort.json", json.dumps(results, indent=2, default=str) + "\n")
    names = [field.name for field in fields(Row)]
    cells = [["" if value is None else str(value) for value in asdict(row).values()] for row in effort.rows]
    write_text(out / "effort.csv", comma_separated(cells, names))
    write_text(out / "effort.md", effort_tables(effort))
    if effort.truths:
        write_figure(out / "effort_pixels.png", pixel_curves(effort))
    if _clicks(effort):
        write_figure(out / "effort_clicks.png", click_curves(effort))


def effort_tables(effort: Effort) -> str:
    """Of revealed pixels and of clicks: accuracy on all and on the unrevealed pixels, and mean IoU; of revealed pixels
    before these the error removed after pasting; last, how far segcode is ahead of each other method, with 95 %
    intervals. In percent; Markdown. The seconds are the largest of the medians along a curve.
    """
    tables = []
    if effort.truths:
        amounts = _amounts(effort)
        rivals = [method for method in effort.methods if method != PASTED]  # it removes nothing beyond itself
        if rivals and PASTED in effort.methods:
            tables.append(_table(effort, effort.truths, rivals, amounts, _REMOVED))
        tables += [_table(effort, effort.truths, effort.methods, amounts, score) for score in _SCORES]
        tables += _leads(effort, effort.truths, amounts)
    if clicks := _clicks(effort):
        shown = [n for n in (0, 1, 2, 3, 5, 10, 15, 20, 30, 50, 100) if n < clicks[-1]] + [clicks[-1]]
        tables += [_table(effort, [None], effort.methods, shown, score) for score in _SCORES]
        tables += _leads(effort, [None], shown[1:])
    return "\n".join(tables)


def _table(
    effort: Effort,
    truths: Sequence[str | None],
    methods: Sequence[str],
    amounts: Sequence[Amount],
    score: _Score,
) -> str:
    """A row for each class and method, a column for each amount of truth."""
    name, pixels, title = score
    rows = []
    for truth, method in product(truths, methods):
        curve = effort.curve("pixels" if truth else "clicks", method, truth, pixels)
        cells = [percent(getattr(row, name)) for row in curve if row.amount in amounts]
        rows.append([_called(truth, method), *cells, str(curve[-1].images), _seconds(curve)])
    return f"{title} in %\n\n" + markdown(rows, [_given(truths), *map(str, amounts), "images", "seconds"])


def _leads(effort: Effort, truths: Sequence[str | None], amounts: Sequence[Amount]) -> list[str]:
    """How far segcode is ahead of each other method, on all pixels; no table where it was not measured."""
    others = [method for method in effort.methods if method != Optimised.name]
    if not others or len(others) == len(effort.methods):
        return []

    def leads(truth: str | None, method: str, figure: Callable[[Paired], Interval]) -> list[str]:
        keys = [Key("pixels" if truth else "clicks", Optimised.name, truth, amount, "all") for amount in amounts]
        pairs = [
            Paired(effort.matrices[replace(key, method=method)], effort.matrices[key], effort.block) for key in keys
        ]
        return [_called(truth, method), *(str(figure(pair)) for pair in pairs)]

    return [
        f"Segcode ahead of, in points of {name} [95 %]\n\n"
        + markdown([leads(*row, figure) for row in product(truths, others)], [_given(truths), *map(str, amounts)])
        for name, figure in (("accuracy", accuracy_gained), ("mean IoU", mean_iou_gained))
    ]


def _called(truth: str | None, method: str) -> str:
    return f"{truth}, {method}" if truth else method


def _given(truths: Sequence[str | None]) -> str:
    return "revealed pixels" if truths[0] else "clicks"


def pixel_curves(effort: Effort) -> Figure:
    """Error removed after pasting, in percent, by revealed pixels; a panel for each class, a line for each method."""
    amounts = _amounts(effort)
    places = _places(amounts)
    figure, panels = _panels(len(effort.truths))
    for axes, truth in zip(panels, effort.truths, strict=True):
        for i, method in enumerate(effort.methods):
            curve = effort.curve("pixels", method, truth)
            axes.plot(places, [_hundredfold(row.error_removed) for row in curve], **_line(i, method))
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks(places, [str(amount) for amount in amounts], fontsize=8)
        axes.set_xticks([], minor=True)
        axes.set_title(f"{truth}, {curve[-1].images} images", fontsize=10)
        axes.set_xlabel("revealed pixels")
    panels[0].set_ylabel("error removed after pasting in %")
    _legend(figure, panels[0])
    return figure


def click_curves(effort: Effort) -> Figure:
    """Mean IoU, and pixel accuracy on all pixels and on the unrevealed, in percent, by clicks."""
    figure, panels = _panels(3)
    clicks = _clicks(effort)
    for i, method in enumerate(effort.methods):
        everywhere = effort.curve("clicks", method)
        unrevealed = effort.curve("clicks", method, pixels="unrevealed")
        scores = (
            [row.mean_iou for row in everywhere],
            [row.pixel_accuracy for row in everywhere],
            [row.pixel_accuracy for row in unrevealed],
        )
        for axes, values in zip(panels, scores, strict=True):
            axes.plot(clicks, [_hundredfold(value) for value in values], **_line(i, method))
    for axes, title in zip(panels, ("mean IoU", "pixel accuracy", "accuracy on unrevealed pixels"), strict=True):
        axes.set_title(f"{title} in %", fontsize=10)
        axes.set_xlabel("clicks an image")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, panels[0])
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, _COLUMNS)
    rows = ceil(count / columns)
    figure = Figure(figsize=(4 * columns + 0.6, 3.2 * rows + 0.6), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count]


def _line(index: int, method: str) -> dict[str, Any]:
    """Ten colours; should there be more methods, the marks tell them apart."""
    marks = "osD^vPX*"
    mark = marks[(index + index // 10) % len(marks)]
    return {"color": f"C{index % 10}", "marker": mark, "markersize": 4, "label": method}


def _legend(figure: Figure, axes: Axes) -> None:
    lines, names = axes.get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=min(4, len(names)), fontsize=9)


def _amounts(effort: Effort) -> list[Amount]:
    return [row.amount for row in effort.curve("pixels", effort.methods[0], effort.truths[0])]


def _places(amounts: Sequence[Amount]) -> list[float]:
    """On the axis of pixels; the whole class, of another size in each image, stands to the right of all numbers."""
    numbers = [float(amount) for amount in amounts if amount != WHOLE]
    return [*numbers, 5 * max(numbers, default=1.0)]


def _clicks(effort: Effort) -> list[int]:
    return [row.amount for row in effort.curve("clicks", effort.methods[0]) if isinstance(row.amount, int)]


def _seconds(curve: Sequence[Row]) -> str:
    known = [row.seconds for row in curve if row.seconds is not None]
    return f"{max(known):.3f}" if known else ""


def _hundredfold(share: float | None) -> float:
    """A gap in the line where a score is undefined."""
    return float("nan") if share is None else 100 * share
