"""A run as tables, beside the run that was kept, and what must not get worse.

Run `python benchmarks/report.py LATEST.json KEPT.json`, or `make bench`. It exits with 1 if a guarded ratio got worse.
With `--keep` the latest run becomes the kept one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LIMITS = {"shipped: set_image / plain forward": 1.5}
"""Ratios that may not be passed, by the end of their name."""

SLACK = 1.6
"""By this factor a ratio may be worse than the kept one: these machines are noisy."""

Run = dict[str, Any]


def main() -> None:
    latest, path = read(Path(sys.argv[1])), Path(sys.argv[2])
    if "--keep" in sys.argv:
        path.write_text(json.dumps(condensed(latest), indent=1) + "\n", encoding="utf-8")
    kept = read(path) if path.exists() else None
    print(setting(latest))
    for group in dict.fromkeys(b["group"] for b in latest["benchmarks"]):
        print(f"\n{group}\n")
        rows = [b for b in latest["benchmarks"] if b["group"] == group]
        print(LAYOUTS.get(group.split(",")[0], stages)(rows))
    worse = list(compared(ratios(latest), ratios(kept) if kept else {}))
    print("\n" + "\n".join(worse or ["No guarded ratio got worse."]))
    sys.exit(bool(worse))


def read(path: Path) -> Run:
    return json.loads(path.read_text(encoding="utf-8"))


def condensed(run: Run) -> Run:
    """What the report reads, and no more."""
    return {
        "machine_info": {"segcode": run["machine_info"]["segcode"]},
        "commit_info": {key: run["commit_info"][key] for key in ("id", "dirty")},
        "datetime": run["datetime"],
        "benchmarks": [
            {key: b[key] for key in ("group", "name", "params", "extra_info")}
            | {"stats": {key: b["stats"][key] for key in ("median", "min", "iqr", "rounds")}}
            for b in run["benchmarks"]
        ],
    }


def setting(run: Run) -> str:
    machine, commit = run["machine_info"]["segcode"], run["commit_info"]
    return (
        f"{machine['device']}, {machine['threads']} threads, load {machine['load']}; Python {machine['python']}, "
        f"torch {machine['torch']}; commit {commit['id'][:7]}{' and changes' if commit['dirty'] else ''}; "
        f"{run['datetime'][:16]}"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def stages(rows: list[Run]) -> str:
    return table(
        ["stage", "median, ms", "floor, ms", "times the floor", "peak memory, MB"],
        [
            [
                name(b),
                milliseconds(b),
                f"{1e3 * b['extra_info']['floor']:.2f}",
                f"{over_floor(b):.1f}" if over_floor(b) else "",
                megabytes(b),
            ]
            for b in rows
        ],
    )


def rivals(rows: list[Run]) -> str:
    own = median(rows, "segcode")
    return table(
        ["to within 1e-3 of the least energy", "median, ms", "times segcode", "evaluations"],
        [
            [b["params"]["name"], milliseconds(b), f"{b['stats']['median'] / own:.1f}", evaluations(b)]
            for b in sorted(rows, key=lambda b: b["stats"]["median"])
        ],
    )


def training(rows: list[Run]) -> str:
    return table(
        ["fed from, precision", "images a second", "peak memory, MB"],
        [
            [
                f"{b['params']['feed']}, {b['params']['precision']}",
                f"{b['extra_info']['images a second']:.1f}",
                megabytes(b),
            ]
            for b in rows
        ],
    )


def scaling(rows: list[Run]) -> str:
    """Images a second and megabytes, by what was changed and how much of it there was."""
    found = {
        (b["params"]["side"], b["params"]["share"]): f"{b['extra_info']['images a second']:.1f}, {megabytes(b)}"
        for b in rows
    }
    sides, shares = (list(dict.fromkeys(column)) for column in zip(*found, strict=True))
    return table(
        ["images a second, peak memory in MB", *(f"{share:g} times" for share in shares)],
        [[side, *(found[side, share] for share in shares)] for side in sides],
    )


def ways(rows: list[Run]) -> str:
    taken = rows[0]["stats"]["median"]
    return table(
        ["way", "median, ms", "times the one that is taken"],
        [[b["params"]["way"], milliseconds(b), f"{b['stats']['median'] / taken:.2f}"] for b in rows],
    )


def page(rows: list[Run]) -> str:
    return table(["on the page", "measured"], [[name(b), b["extra_info"]["measured"]] for b in rows])


LAYOUTS = {"training": training, "scaling": scaling, "rivals": rivals, "step": ways, "page": page}


def name(benchmark: Run) -> str:
    return benchmark["name"].split("[")[0].removeprefix("test_").replace("_", " ")


def milliseconds(benchmark: Run) -> str:
    return f"{1e3 * benchmark['stats']['median']:.1f}"


def megabytes(benchmark: Run) -> str:
    peak = benchmark["extra_info"].get("peak")
    return f"{peak / 1e6:.0f}" if peak else ""


def evaluations(benchmark: Run) -> str:
    return str(benchmark["extra_info"]["evaluations"] or "")


def over_floor(benchmark: Run) -> float | None:
    floor = benchmark["extra_info"]["floor"]
    return benchmark["stats"]["median"] / floor if floor else None


def median(rows: list[Run], rival: str) -> float:
    return next(b["stats"]["median"] for b in rows if b["params"]["name"] == rival)


def ratios(run: Run) -> dict[str, float]:
    """What is guarded, the less the better: ratios alone, for seconds are the machine's."""
    found = {}
    for group in {b["group"] for b in run["benchmarks"]}:
        rows = [b for b in run["benchmarks"] if b["group"] == group]
        if "rivals" in group:
            own = median(rows, "segcode")
            found |= {f"{group}: segcode / {b['params']['name']}": own / b["stats"]["median"] for b in rows}
        elif group.split(",")[0] not in LAYOUTS:
            medians = {name(b): b["stats"]["median"] for b in rows}
            for key, stage in (("set_image", "set image"), ("refinement", "refinement")):
                if {stage, "plain forward"} <= medians.keys():  # a part of the benchmarks may lack them
                    found[f"{group}: {key} / plain forward"] = medians[stage] / medians["plain forward"]
    return found


def compared(now: dict[str, float], before: dict[str, float]) -> Iterable[str]:
    for key, ratio in now.items():
        limit = next((limit for part, limit in LIMITS.items() if key.endswith(part)), None)
        if limit and ratio > limit:
            yield f"{key} is {ratio:.2f}: at most {limit} is wanted"
        if key in before and ratio > SLACK * before[key]:
            yield f"{key} is {ratio:.3g}, and was {before[key]:.3g} in the kept run"


if __name__ == "__main__":
    main()
