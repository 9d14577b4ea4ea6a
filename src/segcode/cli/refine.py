"""`segcode refine`: an image and some labelled pixels to a better map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from segcode.cli import options
from segcode.cli.given_truth import GivenTruth
from segcode.cli.loading import Chosen
from segcode.cli.outputs import refuse_to_overwrite

if TYPE_CHECKING:
    from segcode.refinement.result import SegmentationMap
    from segcode.tensors import LabelImage


def refine(image: options.ImagePath, given: GivenTruth, chosen: Chosen, out: options.Out) -> None:
    """Label some pixels, and correct the map around them and where the image looks alike.

    Give points, strokes, polygons, boxes, masks and label images in any mixture; where two contradict each other,
    points hold over strokes, strokes over boxes, polygons and masks, and these over label images.

    Each result begins with the name of the image: _labels.png has class indices as grey values, with the labelled
    pixels as given; _overlay.png has class colours over the image; _uncertainty.png is the entropy of the posterior,
    bright where the map may be wrong; _before_after.png shows the labelled pixels and what changed.
    """
    from segcode.data.files import name_of
    from segcode.data.images import read_image
    from segcode.export.comparison import before_after
    from segcode.export.maps import map_files, write_map
    from segcode.export.picture import write_picture

    place, sheet = out / name_of(image), out / f"{name_of(image)}_before_after.png"
    refuse_to_overwrite([image, *given.files], [*map_files(place), sheet])
    picture = read_image(image)
    refiner, classes = chosen.refiner()
    known = given.read((picture.shape[0], picture.shape[1]), classes)
    before = refiner.set_image(picture, name_of(image)).labels
    refined = refiner.refine(known)
    after, uncertainty = refined.labels, refined.entropy()

    write_map(place, picture, after, uncertainty, classes)
    write_picture(sheet, before_after(picture, before, after, known.known_mask, uncertainty, classes))
    typer.echo(_summary(refined, before, after))
    typer.echo(f"Look at {sheet}")


def _summary(refined: SegmentationMap, before: LabelImage, after: LabelImage) -> str:
    """How the solver ended, and how many pixels changed beside the labelled ones."""
    changed = (before != after)[~refined.truth.known_mask]
    share = 100 * changed.mean() if changed.size else 0
    return f"{refined.status}; {changed.sum()} of {changed.size} unlabelled pixels changed ({share:.1f} %)"
