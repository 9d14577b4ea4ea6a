"""Label Studio's protocol for machine-learning backends, over the same model and the same refinement as the page.

https://labelstud.io/guide/ml_create. `GET /health`, which it asks for as well, is in `app.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, BackgroundTasks, Depends, Request, Response

from segcode.errors import DataError, SegcodeError
from segcode.server.label_studio_client import LabelStudio, image_name, inline_image
from segcode.server.label_studio_messages import Annotation, Drawn, PredictRequest, Setup, Task, WebhookEvent
from segcode.server.label_studio_regions import Layout, marks_of, read_layout, regions_of
from segcode.server.marks import Brush, Mark
from segcode.server.session import Session
from segcode.server.studio import Studio
from segcode.tensors import Image

_TASKS: Final = 1000

_log = logging.getLogger(__name__)  # Label Studio shows no reasons, so the terminal does

TaskKey: TypeAlias = tuple[int, int]
"""Project and task."""


@dataclass(eq=False)
class TaskTruth:
    """The marks of a task.

    Args:
        annotation: the one that was saved last.
        began: the marks whose map that annotation began from.
        saved: the marks that it adds.
        points: smart points by id. Label Studio forgets them as soon as their map is accepted, and sends those of one
            class at a time, so they are kept here.
    """

    annotation: int | None = None
    began: list[Mark] = field(default_factory=list)
    saved: list[Mark] = field(default_factory=list)
    points: dict[str, Mark] = field(default_factory=dict)

    @property
    def marks(self) -> list[Mark]:
        """All marks."""
        return [*self.saved, *self.points.values()]


class Backend:
    """The tasks of a Label Studio; the last 1000 are remembered. Their images share the memory of the studio."""

    def __init__(self, studio: Studio, version: str, label_studio: LabelStudio | None) -> None:
        """Answer for a studio.

        Args:
            studio: has the segmenter, and the thread that computes.
            version: of the model, as Label Studio shows it.
            label_studio: the one that images are fetched from and predictions are sent to; None asks nobody.
        """
        self.version = version
        self._studio = studio
        self._label_studio = label_studio
        self._truths: OrderedDict[TaskKey, TaskTruth] = OrderedDict()
        self._order = asyncio.Lock()

    def layout(self, configuration: str) -> Layout:
        """The labels of a configuration that are classes of the studio. Raises DataError as `read_layout`."""
        return read_layout(configuration, self._studio.classes)

    async def predict(self, key: TaskKey, task: Task, layout: Layout, drawn: list[Drawn]) -> list[dict[str, Any]]:
        """The map of a task as regions, given the regions that were just drawn, too."""
        session = await self._session(layout.source(task.data))
        known = key in self._truths
        truth = self._truth(key)
        if not known and task.annotations:  # as after a restart
            await self._save(session, truth, task.annotations[-1])
        just = await self._marks(session, drawn, truth.marks)
        truth.points.update((name, mark) for name, mark in just if isinstance(mark, Brush))
        # Regions that are not saved count here alone: Label Studio does not say when they are deleted.
        marks = truth.marks + [mark for _, mark in just if not isinstance(mark, Brush)]
        return await self._studio.compute(lambda: regions_of(session.final(marks), layout))

    def forget(self, project: int, tasks: set[int], annotations: set[int]) -> None:
        """Forget the marks of some tasks of a project, and of tasks whose last annotation is one of these."""
        for key, truth in list(self._truths.items()):
            if key[0] == project and (key[1] in tasks or truth.annotation in annotations):
                del self._truths[key]

    async def follow(self, key: TaskKey, task: Task, annotation: Annotation, layout: Layout) -> None:
        """Take an annotation as truth, and send the map."""
        try:
            async with self._order:
                session = await self._session(layout.source(task.data))
                await self._save(session, self._truth(key), annotation)
                regions = await self.predict(key, task, layout, [])
                if self._label_studio is not None:
                    await asyncio.to_thread(self._label_studio.suggest, task.id, self.version, regions)
        except SegcodeError as problem:
            _log.warning("task %d: %s", task.id, problem)

    async def _save(self, session: Session, truth: TaskTruth, annotation: Annotation) -> None:
        if truth.annotation != annotation.id:
            truth.annotation, truth.began = annotation.id, truth.marks
        drawn = [] if annotation.was_cancelled else annotation.result
        truth.saved = [mark for _, mark in await self._marks(session, drawn, truth.began)]

    async def _marks(self, session: Session, drawn: list[Drawn], began: list[Mark]) -> list[tuple[str, Mark]]:
        """Marks from regions; some may come from the map of the marks that were there when they began."""
        shown = cache(partial(session.final, began))
        return await self._studio.compute(lambda: list(marks_of(drawn, self._studio.classes, session.size, shown)))

    def _truth(self, key: TaskKey) -> TaskTruth:
        truth = self._truths.setdefault(key, TaskTruth())
        self._truths.move_to_end(key)
        while len(self._truths) > _TASKS:
            self._truths.popitem(last=False)
        return truth

    async def _session(self, source: str) -> Session:
        key = ("Label Studio", source)
        read = partial(self._image, source)
        if not self._studio.is_open(key):  # Label Studio may be slow: it must not hold up the thread that computes
            image = await asyncio.to_thread(read)
            read = partial(lambda image: image, image)
        return await self._studio.compute(lambda: self._studio.session(key, read, image_name(source)))

    def _image(self, source: str) -> Image:
        if source.startswith("data:"):
            return inline_image(source, self._studio.library.limits)
        if self._label_studio is None:
            raise DataError(
                f"the image {source[:200]} is at Label Studio, which segcode may not ask: start it with "
                "--label-studio and the address, such as http://localhost:8080"
            )
        return self._label_studio.image(source)


def _backend(request: Request) -> Backend:
    return request.app.state.label_studio


Here = Annotated[Backend, Depends(_backend)]
router = APIRouter(tags=["Label Studio"])


@router.post("/setup")
def setup(project: Setup, backend: Here) -> dict[str, str]:
    """The version of the model, if a labelling configuration has labels for its classes."""
    with _logged("setup"):
        backend.layout(project.label_config)
    return {"model_version": backend.version}


@router.post("/predict", response_class=Response)
async def predict(request: PredictRequest, backend: Here) -> Response:
    """The maps of tasks; one that fails has its reason instead, and an error is raised if all fail."""
    with _logged("predict"):
        layout = backend.layout(request.label_config)
    answers = [await _answer(task, request, layout, backend) for task in request.tasks]
    if answers and all("error" in answer for answer in answers):
        raise DataError(answers[0]["error"])
    return Response(json.dumps({"results": answers}), media_type="application/json")


async def _answer(task: Task, request: PredictRequest, layout: Layout, backend: Backend) -> dict[str, Any]:
    try:
        regions = await backend.predict((request.project_id, task.id), task, layout, request.drawn)
    except SegcodeError as problem:
        _log.warning("task %d: %s", task.id, problem)
        return {"error": f"task {task.id}: {problem}"}
    return {"result": regions, "model_version": backend.version}


@router.post("/webhook")
async def webhook(event: WebhookEvent, backend: Here, later: BackgroundTasks) -> dict[str, str]:
    """Take annotations as truth, or forget them; other events change nothing.

    Maps are made once this is answered: Label Studio waits a second at most.
    """
    project = event.project
    if project is None:
        return {"status": "ignored"}
    if event.action in ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED"):
        with _logged("webhook"):
            layout = backend.layout(project.label_config)
        for task, annotation in zip(event.task, event.annotation, strict=False):
            later.add_task(backend.follow, (project.id, task.id), task, annotation, layout)
    elif event.action in ("TASKS_DELETED", "ANNOTATIONS_DELETED"):
        backend.forget(project.id, {task.id for task in event.tasks}, {one.id for one in event.annotations})
    else:
        return {"status": "ignored"}
    return {"status": "taken"}


@contextmanager
def _logged(request: str) -> Iterator[None]:
    try:
        yield
    except SegcodeError as problem:
        _log.warning("%s: %s", request, problem)
        raise
