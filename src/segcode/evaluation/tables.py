"""Tables of results as Markdown; shares in percent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from segcode.evaluation.bootstrap import Interval, Paired, accuracy_gained, error_removed, mean_iou_gained
from segcode.evaluation.masks import CODE_REPLACED, EXCLUDED, OPTIMISED_REPLACED, REPLACED
from segcode.evaluation.methods import Pasted, Refined
from segcode.evaluation.report import markdown, number, percent
from segcode.evaluation.results import PixelSet, Results, Row, Subject

SHOWN: Final = (0, 1, 2, 3, 5, 10, 15, 20, 30, 50, 100)
"""Clicks that a table shows, beside the last."""

_SCORES: Final = (
    ("pixel_accuracy", "all", "Pixel accuracy"),
    ("pixel_accuracy", "unlabelled", "Accuracy on unlabelled pixels"),
    ("mean_iou", "all", "Mean IoU"),
    ("error_removed", "all", "Error of the initial prediction removed"),
    ("click_efficiency", "all", "Click efficiency"),
)


def click_tables(results: Results) -> str:
    """Curves, their ends, effects of single clicks by class, and how far segcode is ahead of the other methods."""
    tables = []
    if results.find(protocol="clicks"):
        tables += [_curves(results, "clicks", *score) for score in _SCORES]
        tables += [_ends(results), _effects(results)]
    for protocol in ("pixels", "mask"):
        if results.find(protocol=protocol):
            removed = ("error_removed_after_pasting", "all", "Error left after pasting that is removed")
            tables += [_curves(results, protocol, *score) for score in (removed, *_SCORES[:3])]
    return "\n".join([*tables, *_leads(results)])


def _curves(results: Results, protocol: str, score: str, pixels: str, title: str) -> str:
    """A row for each class and method, a column for each amount of truth."""
    rows = [row for row in results.find(protocol=protocol, pixels=pixels) if _is_shown(results, row)]
    amounts = list(dict.fromkeys(row["amount"] for row in rows))
    lines = dict.fromkeys((row["truth"], row["method"]) for row in rows)
    cells = [
        [_name(*line), *(percent(row.get(score)) for row in rows if (row["truth"], row["method"]) == line)]
        for line in lines
    ]
    return f"{title} in %\n\n" + markdown([protocol, *map(str, amounts)], cells)


def _ends(results: Results) -> str:
    """All scores after the last click."""
    last = _last(results)
    columns: dict[str, tuple[str, Callable[[object], str]]] = {
        "accuracy": ("pixel_accuracy", percent),
        "mean IoU": ("mean_iou", percent),
        "error removed": ("error_removed", percent),
        "click efficiency": ("click_efficiency", percent),
        "harmful clicks": ("harmful_clicks", percent),
        "broken for each repaired": ("broken_per_repaired", number),
        "images below pasting": ("images_below_pasting", number),
        "seconds": ("seconds", number),
    }
    rows = [
        [str(row["method"]), *(text(row.get(score)) for score, text in columns.values())]
        for row in results.find(protocol="clicks", pixels="all", amount=last)
    ]
    return f"After {last} clicks, in %\n\n" + markdown(["method", *columns], rows)


def _effects(results: Results) -> str:
    """The effects of single clicks, of all and by the class of the click."""
    rows = [
        [
            f"{row['method']}, {row['truth'] or 'all'}",
            number(row["clicks"]),
            percent(row["harmful_clicks"]),
            number(row["broken_per_repaired"]),
        ]
        for row in results.find(protocol="click")
        if row["method"] != Pasted.name
    ]
    header = ["class of the click", "clicks", "harmful in %", "broken for each repaired"]
    return "Effects of single clicks\n\n" + markdown(header, rows)


def _leads(results: Results) -> list[str]:
    """How far segcode is ahead of each other method, on all pixels."""
    own = [s for s in results.outcomes if s.method == Refined.name and s.pixels == "all" and s.amount != 0]
    own = [s for s in own if s.protocol != "clicks" or s.amount in (*SHOWN, _last(results))]
    others = (
        [name for name in results.values("method", protocol=own[0].protocol) if name != Refined.name] if own else []
    )
    header = ["ahead of", "given", "accuracy", "mean IoU"]

    def lead(subject: Subject, method: str) -> list[str]:
        paired = results.paired(replace(subject, method=method), subject)
        given = f"{subject.amount} {subject.protocol}" + (f" of {subject.truth}" if subject.truth else "")
        return [method, given, str(accuracy_gained(paired)), str(mean_iou_gained(paired))]

    rows = [lead(subject, method) for method in others for subject in own]
    return ["Segcode ahead of other methods, in points [95 %]\n\n" + markdown(header, rows)] if rows else []


def mask_tables(results: Results) -> str:
    """Table 1 of the paper with its controls, and what optimising adds to them with 95 % intervals over the images."""
    columns = {
        "pixel accuracy": ("pixel_accuracy", "all"),
        "error removed after replacing": ("error_removed_after_pasting", "all"),
        "accuracy on unlabelled pixels": ("pixel_accuracy", "unlabelled"),
        "mean IoU": ("mean_iou", "all"),
        "mean IoU without truth class": ("mean_iou_without_truth", "all"),
    }
    rows = []
    for row in results.find(pixels="all"):
        same = {"all": row} | {
            other["pixels"]: other
            for other in results.find(method=row["method"], truth=row["truth"], pixels="unlabelled")
        }
        cells = [percent(same.get(pixels, {}).get(score)) for score, pixels in columns.values()]
        rows.append([_name(row["truth"], row["method"]), *cells])
    table_1 = "In %\n\n" + markdown(["method", *columns], rows)
    gains = [
        [_name(subject.truth, f"{subject.method} against {control}"), *map(str, _gains(results, subject, control))]
        for control in (REPLACED, EXCLUDED)
        for subject in results.outcomes
        if subject.method in (OPTIMISED_REPLACED, CODE_REPLACED) and subject.pixels == "all"
    ]
    header = ["gain", "accuracy", "error removed", "accuracy on unlabelled pixels"]
    return table_1 + ("\nIn points [95 %]\n\n" + markdown(header, gains) if gains else "")


def _gains(results: Results, subject: Subject, control: str) -> tuple[Interval, Interval, Interval]:
    def beside(pixels: PixelSet) -> Paired:
        after = replace(subject, pixels=pixels)
        return results.paired(replace(after, method=control), after)

    return accuracy_gained(beside("all")), error_removed(beside("all")), accuracy_gained(beside("unlabelled"))


def calibration_tables(results: Results) -> str:
    """Calibration of the probabilities, and how well scores find the wrong pixels."""
    calibration = {"accuracy": percent, "ece": percent, "nll": number, "brier": number}
    detection = {"error": percent, "auroc": percent, "average_precision": percent}
    return "\n".join(
        [
            "Calibration: accuracy and ECE in %, NLL in nats a pixel, Brier score summed over the classes\n",
            _states([row for row in results.rows if row["ece"] is not None], calibration),
            "Error detection: the wrong pixels of the map are the positives, in %\n",
            _states(results.rows, detection),
        ]
    )


def _states(rows: Sequence[Row], scores: Mapping[str, Callable[[object], str]]) -> str:
    cells = [
        [
            f"{row['protocol']} {row['amount']} {row['truth'] or 'clicks'}, {row['method']}",
            str(row["pixels"]),
            *(text(row[score]) for score, text in scores.items()),
        ]
        for row in rows
    ]
    return markdown(["state", "pixels", *(score.replace("_", " ") for score in scores)], cells)


def _is_shown(results: Results, row: Row) -> bool:
    return row["protocol"] != "clicks" or row["amount"] in (*SHOWN, _last(results))


def _last(results: Results) -> int:
    return max((int(row["amount"] or 0) for row in results.find(protocol="clicks")), default=0)


def _name(truth: object, method: object) -> str:
    return f"{truth}, {method}" if truth else str(method)
