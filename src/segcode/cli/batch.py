"""`segcode batch`: many images to maps, on all cores or on a cluster."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import create_connection
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from segcode.cli.given_truth import read_extents
from segcode.cli.loading import Chosen
from segcode.cli.options import Extents, Images, Out, Resume
from segcode.cli.refine_folder import complete
from segcode.cli.requests import find_requests
from segcode.errors import ConfigError

if TYPE_CHECKING:
    from segcode.batch import Outcome, Request
    from segcode.numbers import Meaning
    from segcode.segmenters.specification import OpenedSegmenter

_LARGEST: Final = 8
"""Images of a batch; fewer where each worker would not get several."""

_STORE: Final = 100_000_000
"""Bytes for what processes send each other, names and numbers; Ray would take a third of the memory."""


def batch(
    images: Images,
    extent: Extents,
    chosen: Chosen,
    out: Out,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Partial labels, as in refine-folder.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; one for each core, or GPU, if not given.", show_default=False),
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="A Ray cluster that runs already; local is this machine alone.")
    ] = "local",
    resume: Resume = False,
) -> None:
    """Predict or refine many images on all cores, or on a cluster, with Ray.

    The maps are those of `refine-folder`, or for images without labels those of `predict`. OUT/manifest.csv has a line
    for each image: its labelled pixels, the share of the map that one more label is expected to change, the SHA-256 of
    NAME_labels.png, or why there is no map. After a kill, --resume makes the maps that are missing or are not those of
    the manifest.

    The machines of a cluster have segcode, and see the current folder, the images, the segmenter and OUT at one path.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # nothing is sent or printed
    import ray  # noqa: F401 - that it is missing is said at once

    from segcode.batch import BatchRefiner

    requests = find_requests(images, out, labels)
    settings: dict[str, Any] = {"out": out, "constants": chosen.load_constants(), "extents": read_extents(extent)}
    first = BatchRefiner(chosen.open, **settings)
    numbers = first.opened.numbers

    def refine(todo: list[Request]) -> Iterator[Outcome]:
        left = list(todo)
        while left and numbers is not None and numbers.found is None:  # what they mean is found out once for all
            yield from first.refine([left.pop(0)])
        meaning = numbers.found.meaning if numbers is not None and numbers.found is not None else None
        settings["segmenter"] = partial(_open, Path.cwd(), chosen, meaning)
        if left:
            with _ray(address, workers):
                yield from _refine_on_ray(left, settings, workers, chosen.device != "cpu")

    complete(requests, refine, first.opened.classes, out, resume, "segcode batch")


def _open(folder: Path, chosen: Chosen, meaning: Meaning | None) -> OpenedSegmenter:
    """The segmenter in a worker, which was not started in the folder of the command."""
    os.chdir(folder)
    opened = chosen.open()
    if meaning is not None and opened.numbers is not None:
        opened.numbers.state(meaning, "the first image")
    return opened


@contextmanager
def _ray(address: str, workers: int | None) -> Iterator[None]:
    """Ray on this machine, or a connection to a cluster, which print nothing."""
    import ray

    own = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": _STORE}
    if address != "local":
        _check_cluster(address)
        own = {}
    with _silence():
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    try:
        yield
    finally:
        ray.shutdown()


def _check_cluster(address: str) -> None:
    """Raises ConfigError if nothing answers at an address, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with create_connection((host, int(port)), timeout=10):
            pass
    except (OSError, ValueError) as error:
        raise ConfigError(f"--address {address}: {error}: give HOST:PORT as `ray start --head` prints it") from None


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what C++ prints to stderr as Ray starts; it is no error."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _refine_on_ray(
    requests: list[Request], settings: dict[str, Any], workers: int | None, with_gpus: bool
) -> Iterator[Outcome]:
    """An outcome for each request, as they come.

    An image that kills its worker, for lack of memory, takes its batch with it; that is tried once more, one by one.
    """
    import ray

    from segcode.batch import Outcome

    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if with_gpus else 0
    most = gpus or int(resources["CPU"])
    workers = min(workers or most, most)
    missing = {request.name: request for request in requests}
    for size in (min(_LARGEST, -(-len(requests) // (4 * workers))), 1):
        if missing:
            for outcome in _outcomes(list(missing.values()), size, settings, workers, gpus > 0):
                del missing[outcome.name]
                yield outcome
    for name, request in missing.items():
        yield Outcome(name, f"{request.image} kills its worker, perhaps for lack of memory: give fewer --workers")


def _outcomes(
    requests: list[Request], size: int, settings: dict[str, Any], workers: int, gpu: bool
) -> Iterator[Outcome]:
    """The outcomes of batches of a size, as they come; none for a batch whose worker dies."""
    from ray.data import ActorPoolStrategy, DataContext, from_items

    from segcode.batch import BatchRefiner, Outcome

    context = DataContext.get_current()
    context.enable_progress_bars, context.print_on_execution_start, context.max_errored_blocks = False, False, -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    batches = from_items([request._asdict() for request in requests], override_num_blocks=-(-len(requests) // size))
    with warnings.catch_warnings(action="ignore"):  # Ray 2.64 will have another way to say max_task_retries
        results = batches.map_batches(
            BatchRefiner,
            fn_constructor_kwargs=settings,
            batch_size=None,
            compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=int(gpu),
            max_task_retries=0,  # without end otherwise
        )
    for columns in results.iter_batches(batch_size=None, prefetch_batches=0):
        yield from map(Outcome, *(columns[name].tolist() for name in Outcome._fields))
