"""Table 1 of the paper, with what it leaves out, as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from segcode.evaluation.protocol import Evaluation

HEADER = (
    "method",
    "pixel accuracy",
    "error removed after pasting",
    "unrevealed accuracy",
    "mean IoU",
    "mean IoU without truth class",
)
GAINS = (
    "optimised + replaced against replaced",
    "accuracy",
    "error removed after pasting",
    "unrevealed accuracy",
    "error removed after pasting and inferring",
)
NAMES = {
    "pasted": "replaced",
    "inferred+pasted": "replaced + inferred",
    "optimised": "optimised",
    "optimised+pasted": "optimised + replaced",
}


def table_1(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Rows as the paper has them, in percent: zero code, encoder's code, then those of each truth class.

    "Replaced + inferred" is a control that the paper lacks: zero code, the class ruled out
    where optimising rules it out.

    "Error removed after pasting" is 1 - (100 - optimised) / (100 - replaced). "Unrevealed accuracy" counts the pixels
    that the truth did not reveal. Pasting changes none of these, unless masks are said to be complete.
    """
    rows: list[tuple[str, ...]] = []
    for method, name in (("zero", "0-code"), ("encoded", "encoder's code")):
        row = evaluation.row(method)
        rows.append((name, percent(row.pixel_accuracy), "", "", percent(row.mean_iou), ""))
    for truth in evaluation.truths:
        pasted = evaluation.row("pasted", truth).pixel_accuracy
        for method, name in NAMES.items():
            everywhere = evaluation.row(method, truth)
            unrevealed = evaluation.row(method, truth, "unrevealed")
            rows.append(
                (
                    f"{truth} {name}",
                    percent(everywhere.pixel_accuracy),
                    "" if method == "pasted" else percent(error_removed(pasted, everywhere.pixel_accuracy)),
                    percent(unrevealed.pixel_accuracy),
                    percent(everywhere.mean_iou),
                    percent(everywhere.mean_iou_without_truth),
                )
            )
    return rows


def gains(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """For each truth what optimising adds to pasting, in percent, with 95 % intervals over the images."""
    return [
        (gain.truth, *map(str, (gain.accuracy, gain.removed, gain.unrevealed, gain.by_code)))
        for gain in evaluation.gains
    ]


def error_removed(pasted: float | None, optimised: float | None) -> float | None:
    """The share of the error left after pasting that optimising removes; None where nothing was left."""
    if pasted is None or optimised is None or pasted == 1:
        return None
    return 1 - (1 - optimised) / (1 - pasted)


def markdown(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    """A pipe table, the first column to the left and the others to the right."""
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, ruler, *rows))


def comma_separated(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    """CSV with a header line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def latex(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    """A tabular environment for the booktabs package; what LaTeX would take for a command is escaped."""
    names, *lines_of_cells = (" & ".join(map(_escaped, cells)) + r" \\" for cells in (header, *rows))
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\toprule",
        names,
        r"\midrule",
        *lines_of_cells,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(cell: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", cell)


def percent(share: float | None) -> str:
    """With two decimals; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.2f}"
