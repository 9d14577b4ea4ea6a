"""`segcode demo`: refinement by clicks in a minute, on streets that the shipped model has never seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Final

import typer

from segcode.cli.loading import load_refiner
from segcode.cli.options import Device, ModelForStreets
from segcode.cli.progress import progress

if TYPE_CHECKING:
    from jaxtyping import Bool
    from numpy import ndarray
    from rich.table import Table

    from segcode.classes import ClassSet
    from segcode.refinement.refiner import Refiner
    from segcode.sample import Sample
    from segcode.tensors import LabelImage

_HEIGHT: Final = 360
_WIDTH: Final = 480
_CLICKS: Final = 5
_RADIUS: Final = 4.0


@dataclass(frozen=True)
class Scene:
    """Maps of one street.

    Attributes:
        maps: (H, W), by the name of the method.
        labels: the exact labels (H, W).
        labelled: pixels under a click, (H, W).
    """

    maps: dict[str, LabelImage]
    labels: LabelImage
    labelled: Bool[ndarray, "H W"]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="Folder for the pictures.")] = Path("demo"),
    number: Annotated[int, typer.Option("-n", min=1, max=100, help="How many streets.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Another seed takes other streets.")] = 0,
    model: ModelForStreets = "streets",
    device: Device = "auto",
) -> None:
    """Predict streets, click on errors, refine, and print how much better the maps are.

    The streets are synthetic, from the test split, and chosen by the seed alone. Each gets five clicks, as an annotator
    would make them: one after the other, in the middle of the largest region that is still wrong.
    """
    from rich.console import Console

    from segcode.data.sources import open_source

    source = open_source("streets", None, "test", _HEIGHT, _WIDTH)
    refiner, classes = load_refiner(model, device)
    chosen = choose(number, len(source), seed)
    scenes = [
        _refine_and_draw(refiner, classes, source[index], out)
        for index in progress(chosen, len(chosen), "Refining streets")
    ]
    Console(highlight=False).print(_table(scenes))
    typer.echo(f"Look at the pictures in {out}, first {out / source.names[chosen[0]]}_before_after.png")


def choose(number: int, total: int, seed: int) -> list[int]:
    """`number` different indices below `total`, or all if there are fewer."""
    return sorted(Random(seed).sample(range(total), min(number, total)))


def _refine_and_draw(refiner: Refiner, classes: ClassSet, sample: Sample, out: Path) -> Scene:
    import numpy as np

    from segcode.evaluation.annotator import disk_truth, next_click
    from segcode.export.comparison import before_after, sample_sheet
    from segcode.export.picture import heat, write_picture

    assert sample.labels is not None
    initial = refined = refiner.set_image(sample.image)
    for _ in range(_CLICKS):
        click = next_click(refined.labels, sample.labels, np.random.default_rng(0))
        if click is None:
            break
        refined = refiner.refine(refined.truth + disk_truth(click, sample.labels, _RADIUS, len(classes)))
    labelled, entropy = refined.truth.known_mask, refined.entropy()
    maps = {
        "initial prediction": initial.labels,
        "clicked pixels pasted in": replace(initial, truth=refined.truth).labels,
        "refined": refined.labels,
    }
    pictures = {
        "before_after": before_after(
            sample.image, initial.labels, refined.labels, labelled, entropy, classes, sample.labels
        ),
        "samples": sample_sheet(sample.image, [drawn.labels for drawn in refiner.sample(6)], classes),
        "uncertainty": heat(entropy),
    }
    for name, picture in pictures.items():
        write_picture(out / f"{sample.name}_{name}.png", picture)
    return Scene(maps, sample.labels, labelled)


def _table(scenes: list[Scene]) -> Table:
    from rich.table import Table

    table = Table("pixels that are right", title=f"Mean of {len(scenes)} streets", title_justify="left")
    for column in ("all", "not clicked on"):
        table.add_column(column, justify="right")
    for name in scenes[0].maps:
        table.add_row(name, *(f"{100 * share:.2f} %" for share in _accuracies(scenes, name)))
    return table


def _accuracies(scenes: list[Scene], name: str) -> Iterator[float]:
    """Over all pixels of all scenes, then over those without a click."""
    import numpy as np

    right = np.stack([scene.maps[name] == scene.labels for scene in scenes])
    yield float(right.mean())
    yield float(right[~np.stack([scene.labelled for scene in scenes])].mean())
