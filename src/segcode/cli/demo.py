"""`segcode demo`: the whole idea in a minute, on streets that the shipped model has never seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    """Maps of one street, by the name of the method, the exact labels, and where they were told."""

    maps: dict[str, LabelImage]
    labels: LabelImage
    revealed: Bool[ndarray, "H W"]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="Folder for the pictures.")] = Path("demo"),
    number: Annotated[int, typer.Option("-n", min=1, max=100, help="How many streets.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Another seed takes other streets.")] = 0,
    model: ModelForStreets = "streets",
    device: Device = "auto",
) -> None:
    """Predict streets, click on what is wrong, refine, and print how much better the maps are.

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
    """So many different indices below `total`, or all if there are fewer."""
    return sorted(Random(seed).sample(range(total), min(number, total)))


def _refine_and_draw(refiner: Refiner, classes: ClassSet, sample: Sample, out: Path) -> Scene:
    import numpy as np

    from segcode.evaluation.clicks import disk_truth, next_click
    from segcode.export.comparison import before_after, sample_sheet
    from segcode.export.picture import heat, write_picture
    from segcode.truth.truth import Truth

    assert sample.labels is not None
    first = refined = refiner.set_image(sample.image)
    after, truth = first.labels, Truth.empty(sample.labels.shape, len(classes))
    for _ in range(_CLICKS):
        click = next_click(after, sample.labels, np.random.default_rng(0))
        if click is None:
            break
        truth = truth + disk_truth(click, sample.labels, _RADIUS, len(classes))
        refined = refiner.refine(truth)
        after = refined.pasted(truth)
    revealed = truth.revealed().numpy()
    entropy = refined.entropy()
    samples = [drawn.pasted(truth) for drawn in refiner.sample(6)]

    pictures = {
        "before_after": before_after(sample.image, first.labels, after, revealed, entropy, classes, sample.labels),
        "samples": sample_sheet(sample.image, samples, classes),
        "uncertainty": heat(entropy),
    }
    for name, picture in pictures.items():
        write_picture(out / f"{sample.name}_{name}.png", picture)
    maps = {
        "first prediction": first.labels,
        "truth pasted in": first.pasted(truth),
        "refined": refined.labels,
        "refined, truth pasted in": after,
    }
    return Scene(maps, sample.labels, revealed)


def _table(scenes: list[Scene]) -> Table:
    from rich.table import Table

    table = Table("pixels that are right", title=f"Mean of {len(scenes)} streets", title_justify="left")
    for column in ("of all", "of those not told"):
        table.add_column(column, justify="right")
    for name in scenes[0].maps:
        table.add_row(name, *(f"{100 * share:.2f} %" for share in _accuracies(scenes, name)))
    return table


def _accuracies(scenes: list[Scene], name: str) -> Iterator[float]:
    """Over all pixels of all scenes, then over those that were not told."""
    import numpy as np

    right = np.stack([scene.maps[name] == scene.labels for scene in scenes])
    yield float(right.mean())
    yield float(right[~np.stack([scene.revealed for scene in scenes])].mean())
