"""`segcode refine-folder`: many images, each with partial labels, to better maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from segcode.cli.given_truth import read_partial_labels
from segcode.cli.loading import Loaded, load_refiner
from segcode.cli.options import (
    Device,
    Energy,
    Evidence,
    Hold,
    Images,
    InferWhole,
    Model,
    Out,
    Prior,
    Solver,
    Steps,
    refinement_config,
)
from segcode.cli.outputs import MAP_FILES, Made, refuse_to_overwrite, write_map
from segcode.cli.progress import progress
from segcode.errors import DataError, TruthError
from segcode.refinement.config import RefinementConfig, Stopping

if TYPE_CHECKING:
    from segcode.tensors import Image, LabelImage

LabelFolder = Annotated[
    Path,
    typer.Option(
        "--labels",
        metavar="FOLDER",
        help="Holds NAME.png for an image NAME: class indices, 255 where unknown.",
        show_default=False,
    ),
]


class Given(NamedTuple):
    """An image and what is known of it."""

    image: Image
    labels: LabelImage | None


def refine_folder(
    images: Images,
    labels: LabelFolder,
    model: Model,
    out: Out,
    solver: Solver = RefinementConfig.solver,
    energy: Energy = RefinementConfig.energy,
    evidence: Evidence = RefinementConfig.evidence,
    hold: Hold = RefinementConfig.hold,
    infer_whole: InferWhole = RefinementConfig.infer_whole,
    prior: Prior = RefinementConfig.prior,
    steps: Steps = Stopping.steps,
    device: Device = "auto",
) -> None:
    """Refine many images, each by the partial labels of its name.

    The labels are one-channel images of class indices, 255 where unknown, as another sensor, a map or annotators give
    them; those of FOLDER/a/NAME.png belong to the image a/NAME. An image without labels gets the first prediction.

    Each image gives NAME_labels.png, in which what was known stands as given, NAME_overlay.png and
    NAME_uncertainty.png. What cannot be read, or does not fit, does not stop the others.
    """
    from segcode.data.files import find_images, output_names
    from segcode.data.prefetch import prefetch, write_behind

    paths = find_images(images)
    names = output_names(paths)
    known = [labels / name.with_suffix(".png") for name in names]
    if not any(path.exists() for path in known):
        raise DataError(f"{labels} has no {known[0].name}, nor labels of any other image: name them as the images")
    written = [out / name.with_name(name.name + ending) for name in names for ending in MAP_FILES]
    refuse_to_overwrite([*paths, *known], written)
    loaded = load_refiner(model, device, refinement_config(solver, energy, evidence, hold, infer_whole, prior, steps))
    problems: list[str] = []
    refined = 0

    def read(files: tuple[Path, Path]) -> Given | DataError | TruthError:
        try:
            return _read(*files, len(loaded.classes))
        except (DataError, TruthError) as problem:
            return problem

    def maps() -> Iterator[Made]:
        nonlocal refined
        given = progress(prefetch(read, zip(paths, known, strict=True)), len(paths), "Refining")
        for item, name in zip(given, names, strict=True):
            if isinstance(item, (DataError, TruthError)):
                problems.append(str(item))
                continue
            refined += item.labels is not None
            yield _make(out / name, item, loaded)

    write_behind(lambda made: write_map(*made, loaded.classes), maps())
    alone = len(paths) - len(problems) - refined
    typer.echo(f"{refined} of {len(paths)} images are refined, {alone} have no labels and are predicted, in {out}")
    if problems:
        raise DataError("\n".join(problems))


def _read(image: Path, labels: Path, classes: int) -> Given:
    from segcode.data.files import read_image

    picture = read_image(image)
    if not labels.exists():
        return Given(picture, None)
    return Given(picture, read_partial_labels(labels, (picture.shape[0], picture.shape[1]), classes))


def _make(place: Path, given: Given, loaded: Loaded) -> Made:
    from segcode.truth.mask import label_truth

    first = loaded.refiner.set_image(given.image)
    if given.labels is None:
        return Made(place, given.image, first.labels, first.entropy())
    truth = label_truth(given.labels, len(loaded.classes))
    refined = loaded.refiner.refine(truth)
    return Made(place, given.image, refined.pasted(truth), refined.entropy())
