"""`segcode predict`: images to maps."""

from __future__ import annotations

import typer

from segcode.cli.loading import Chosen
from segcode.cli.options import Images, Out, Resume
from segcode.cli.progress import progress
from segcode.cli.requests import find_requests
from segcode.errors import DataError


def predict(images: Images, chosen: Chosen, out: Out, resume: Resume = False) -> None:
    """Predict maps of images; no pixel is labelled.

    Each image gives NAME_labels.png with class indices as grey values, NAME_overlay.png with class colours over the
    image, and NAME_uncertainty.png, the entropy of the class probabilities: bright where the map may be wrong.
    Images of several folders keep these folders below OUT. An image that cannot be read does not stop the others;
    the end of the output lists all such images.
    """
    from segcode.batch import BatchRefiner
    from segcode.data.labels import require_classes
    from segcode.export.maps import are_written, map_files

    requests = find_requests(images, out)
    kept = {request.name for request in requests.valid if resume and are_written(out / request.name)}
    todo = [request for request in requests.valid if request.name not in kept]
    refiner = BatchRefiner(chosen.open, out, constants=chosen.load_constants(), ranks=False)
    require_classes((map_files(out / name)[0] for name in kept), refiner.opened.classes)
    outcomes = progress(refiner.refine(todo), len(todo), "Predicting")
    failures = [outcome.problem for outcome in outcomes if outcome.problem]
    there = f", {len(kept)} were there" if resume else ""
    typer.echo(f"{len(todo) - len(failures)} of {requests.images} images are predicted{there}, in {out}")
    if problems := [*requests.problems, *failures]:
        raise DataError("\n".join(problems))
