"""The state of the server: one segmenter, one thread that computes, the open images and their viewers."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import zip_longest
from operator import contains
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from segcode.classes import ClassSet
from segcode.data.folder import ClassFile
from segcode.data.labels import read_index_labels, write_labels
from segcode.data.resize import resize_labels
from segcode.errors import ConfigError, DataError, SegcodeError
from segcode.field.constants import FieldConstants
from segcode.prediction import Segmenter
from segcode.segmenters.named_classes import ids_of
from segcode.server.journal import Document, Entry, Head, Journal, ReplacedError, Review, State, read_head
from segcode.server.library import Encoded, Library, Photograph
from segcode.server.marks import VOID, WIDEST, Brush, Mark
from segcode.server.messages import frame
from segcode.server.problems import said
from segcode.server.scores import ScoreFile
from segcode.server.session import Score, Session
from segcode.tensors import IGNORE, Image, LabelImage

_DECODED: Final = 2  # pictures that are decoded for the list at a time, whatever the number of processors
_WAITING: Final = 100  # messages that may wait for a tab until no more is read from it

MAPS: Final = ("labels", "truth", "first", "initial")
"""The subfolders of a folder of work that have maps of its images."""

Made = TypeVar("Made")
Message: TypeAlias = dict[str, Any] | bytes
"""JSON, or a binary frame."""


class Progress(NamedTuple):
    """How far the work on an image is.

    Attributes:
        state: of its marks.
        flagged: whether a person flagged it.
        comments: the newest of each person.
        finished_by: who called it done, if somebody did.
        score: how much it needs a person, if that is known.
        problem: why the work cannot go on, if it cannot.
    """

    state: State
    flagged: bool = False
    comments: Mapping[str, str] = {}
    finished_by: str | None = None
    score: Score | None = None
    problem: str | None = None


class Result(NamedTuple):
    """What is exported of an image, at its size.

    Attributes:
        labels: the map as class indices, IGNORE where void.
        truth: the labelled pixels, IGNORE elsewhere.
    """

    labels: LabelImage
    truth: LabelImage


class Viewer:
    """A tab that looks at an image; its messages wait here, so that a slow tab holds up nobody.

    Attributes:
        draft: the mark that is being drawn in it.
        uncertainty: whether it wants the uncertainty after each map.
    """

    def __init__(self) -> None:
        self.draft: Mark | None = None
        self.uncertainty = False
        self._waiting: dict[object, Message] = {}
        self._waking = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = False

    def send(self, message: Message, topic: str | None = None) -> None:
        """Queue a message; it replaces one of the same topic that still waits. Nothing is sent after the end."""
        if not self._ended:
            self._waiting[topic or object()] = message
            self._waking.set()

    def end(self) -> None:
        """Send nothing more."""
        self._ended = True
        self._waking.set()
        self._taken.set()

    async def messages(self) -> AsyncIterator[Message]:
        """The messages in order, until the end."""
        while self._waiting or not self._ended:
            if self._waiting:
                yield self._waiting.pop(next(iter(self._waiting)))
                self._taken.set()
            else:
                self._waking.clear()
                await self._waking.wait()

    async def room(self) -> None:
        """Wait until the tab has taken most of its messages."""
        while len(self._waiting) > _WAITING and not self._ended:
            self._taken.clear()
            await self._taken.wait()


@dataclass(eq=False)
class OpenImage:
    """An image in work: its document, its viewers, and whether its map has to be shown again.

    Every change is written to the journal before it counts, in the order in which it came. Once the image is replaced
    by another one, nothing more is written.
    """

    photograph: Photograph
    journal: Journal
    document: Document
    viewers: list[Viewer] = field(default_factory=list)
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    painter: asyncio.Task[None] | None = None
    replaced: bool = False
    scored: tuple[list[Mark], Score] | None = None

    def is_still(self, photograph: Photograph) -> bool:
        """Whether a file that was changed has the content that it had."""
        try:
            self.journal.check_image()
        except (DataError, OSError):
            return False
        self.photograph = photograph
        return True

    def describe(self) -> dict[str, Any]:
        """The message about the document that every viewer gets."""
        document = self.document
        return {
            "type": "document",
            "name": self.photograph.name,
            "state": document.state,
            "marks": len(document.marks),
            "undo": document.can_undo,
            "redo": document.can_redo,
            "flagged": document.flagged,
            "comments": document.comments,
            "finished_by": document.finished_by,
            "people": {person: at.isoformat() for person, at in document.people.items()},
            "uncertainty": self.score and self.score.uncertainty,
            "expected_change": self.score and self.score.expected_change,
            "viewers": len(self.viewers),
        }

    def send(self, message: Message, topic: str | None = None) -> None:
        """Queue a message for every viewer."""
        for viewer in self.viewers:
            viewer.send(message, topic)

    @property
    def score(self) -> Score | None:
        """How much it needs a person, if that was computed for the marks that it has."""
        return self.scored[1] if self.scored is not None and self.scored[0] == self.document.marks else None

    def notify(self) -> None:
        """Send the document, since it or its viewers changed, and have the map shown again."""
        self.send(self.describe(), "document")
        self.changed.set()


class Studio:
    """The state of the server."""

    def __init__(
        self,
        segmenter: Segmenter | Callable[[Image], Any],
        classes: ClassSet,
        library: Library,
        folder: Path,
        memory: int,
        constants: FieldConstants | None = None,
        listed: ClassFile | None = None,
        model: str = "",
    ) -> None:
        """Work on a library of images.

        Args:
            segmenter: a segcode model, or whatever else `Refiner` takes.
            classes: of the segmenter.
            library: the images.
            folder: where journals, labels and truth are kept.
            memory: bytes that open images may take together; those that were not used for longest are closed, and
                opened again from their journals.
            constants: of the Gaussian model; the shipped ones by default.
            listed: the class list that names the classes, with former names that journals may have.
            model: names the segmenter, and is another one after its files have changed.

        Raises:
            ConfigError: if there are more classes than a painting holds.
        """
        require_room(classes)
        self.classes = classes
        self._class_file = listed or ids_of(classes)
        self._model = model
        self._scores = ScoreFile(folder / "scores.jsonl")
        self.library = library
        self.folder = folder
        self.segmenter = segmenter
        self._memory = memory
        self._constants = constants
        self._worker = ThreadPoolExecutor(1, "segcode")
        self._decoder = ThreadPoolExecutor(_DECODED, "decoder")
        self._sessions: OrderedDict[Hashable, Session] = OrderedDict()
        self._thumbnails: OrderedDict[Photograph, Encoded] = OrderedDict()
        self._listed = 0  # bytes of them
        self._images: dict[str, OpenImage] = {}
        self._opening = Lock()

    def close(self) -> None:
        """Stop computing."""
        self._worker.shutdown(cancel_futures=True)
        self._decoder.shutdown(cancel_futures=True)

    @property
    def memory(self) -> int:
        """Bytes of the images that are open, and of the thumbnails that were made."""
        return self._listed + sum(session.memory for session in list(self._sessions.values()))

    @property
    def work(self) -> str:
        """A name of the folder of work that no other folder has, for browsers that keep marks for it."""
        return sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]

    @property
    def open_images(self) -> int:
        """How many are in memory."""
        return len(self._sessions)

    async def compute(self, work: Callable[[], Made]) -> Made:
        """Run something in the one thread that computes, after earlier requests."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def with_session(self, image: OpenImage, work: Callable[[Session], Made]) -> Made:
        """Run something on an image, which is opened first if it is not."""
        return await self.compute(lambda: work(self._session_of(image)))

    async def shown(self, photograph: Photograph) -> Encoded:
        """An image as a browser shows it. Raises DataError if it cannot be read."""
        return await asyncio.to_thread(photograph.original) or await self._decoded(photograph.redrawn)

    async def thumbnail(self, photograph: Photograph) -> Encoded:
        """An image, small; made once, unless the memory is needed. Raises DataError if it cannot be read."""
        if photograph in self._thumbnails:
            self._thumbnails.move_to_end(photograph)
            return self._thumbnails[photograph]
        made = await self._decoded(photograph.thumbnail)
        if photograph not in self._thumbnails:  # as two tabs ask at once
            self._thumbnails[photograph] = made
            self._listed += len(made.content)
        while self.memory > self._memory and len(self._thumbnails) > 1:
            self._listed -= len(self._thumbnails.popitem(last=False)[1].content)
        return made

    async def _decoded(self, work: Callable[[], Encoded]) -> Encoded:
        return await asyncio.get_running_loop().run_in_executor(self._decoder, work)

    def is_open(self, key: Hashable) -> bool:
        """Whether an image is in memory."""
        return key in self._sessions

    def session(self, key: Hashable, read: Callable[[], Image], name: str | None, keep: bool = True) -> Session:
        """The session of an image, in the thread that computes; others are closed if the memory does not suffice.

        Args:
            key: of the image, in the library or not.
            read: returns the image, if it is not open.
            name: of the image, as `Segmenter.predict` takes it.
            keep: whether an image that is not open is opened for later calls, too.

        Raises:
            DataError: if the segmenter predicts other classes than those of the server.
        """
        if key not in self._sessions:
            session = Session(self.segmenter, read(), name, self._constants)
            if session.classes != len(self.classes):
                raise DataError(
                    f"the segmenter predicts {session.classes} classes, {len(self.classes)} are named: name them all"
                )
            if not keep:
                return session
            self._sessions[key] = session
        self._sessions.move_to_end(key)
        while self.memory > self._memory and len(self._sessions) > 1:
            self._sessions.popitem(last=False)
        return self._sessions[key]

    def image(self, name: str) -> OpenImage:
        """The image of a name.

        Raises:
            KeyError: if there is no such image.
            DataError: if it cannot be read, or its journal is damaged or about something else.
        """
        with self._opening:
            photograph = self.library.get(name)
            if photograph is None:
                raise KeyError(name)
            if photograph.problem is not None:
                raise DataError(photograph.problem)
            opened = self._images.get(name)
            if opened is not None and opened.photograph != photograph and not opened.is_still(photograph):
                opened.replaced = True
                del self._images[name]
                opened = None
                self._worker.submit(self._sessions.pop, name, None)
            if opened is None:
                log = self.log(name)
                journal = Journal(log, photograph, self._names(read_head(log)))
                document = journal.read()
                if max(document.labels, default=0) >= len(self.classes):
                    raise DataError(
                        f"{log} has labels of a class that follows '{self.classes.names[-1]}': add it again"
                    )
                opened = self._images[name] = OpenImage(photograph, journal, document)
                if score := self._scores.find(self._source(opened)):
                    opened.scored = document.marks, score
            return opened

    def _names(self, head: Head | None) -> tuple[str, ...]:
        """The class names of a journal, if its classes are the first ones here, under these or former names."""
        own = self.classes.names
        names = [(name, *was) for name, was in zip_longest(own, self._class_file.was, fillvalue=())]
        if head is None or len(head.classes) > len(own) or not all(map(contains, names, head.classes)):
            return own
        return head.classes

    def counted(self, name: str) -> set[int]:
        """The classes that have to keep their place, since the journal of an image counts them. Raises as `image`."""
        labels, head = self.image(name).document.labels, read_head(self.log(name))
        return labels if head is None else labels | set(range(len(head.classes)))

    async def use_classes(self, listed: ClassFile, segmenter: Segmenter) -> None:
        """Go on with another class list, in which the classes that are `counted` keep their places.

        Maps of images that are done stay, with the new names; tabs load the page again.

        Args:
            listed: the list.
            segmenter: predicts its classes.
        """
        with self._opening:
            before, self.classes, self._class_file, self.segmenter = self.classes, listed.classes, listed, segmenter
            images, self._images = list(self._images.values()), {}
            self._worker.submit(self._sessions.clear)
            for image in images:
                image.replaced = True
        for image in images:
            async with image.order:  # after what is being written
                image.send({"type": "classes"})
        if before.names != self.classes.names:
            await asyncio.to_thread(self._rename, before)

    def _rename(self, before: ClassSet) -> None:
        folders = [self.folder / kind for kind in MAPS]
        for path in (path for folder in folders for path in folder.rglob("*.png")):
            with suppress(DataError, OSError):  # one that keeps the old names is made again when it is asked for
                file = read_index_labels(path, before, ids_of(before).train_ids)
                write_labels(path, file.labels, self.classes, complete=file.complete)

    def log(self, name: str) -> Path:
        """The path of an image's journal."""
        return self.folder / "journals" / f"{name}.jsonl"

    def upload(self, name: str, content: bytes) -> Photograph:
        """Keep an image that was sent, under a name that no work was done on. Raises DataError as `Library.upload`."""
        return self.library.upload(name, content, lambda free: _exists(self.log(free)))

    def progress(self, name: str) -> Progress:
        """How far the work on an image is; where it cannot go on, a journal counts as work.

        Raises:
            KeyError: if there is no such image.
        """
        try:
            image = self.image(name)
        except DataError as error:
            return Progress("in work" if _exists(self.log(name)) else "untouched", problem=said(error))
        document = image.document
        return Progress(document.state, document.flagged, document.comments, document.finished_by, image.score)

    def remove(self, name: str) -> None:
        """Delete an image that was uploaded, and its map if it is done; its journal stays.

        Raises:
            KeyError: if there is no such image.
            DataError: if it was not uploaded.
        """
        with self._opening:
            self.library.remove(name)
            opened = self._images.pop(name, None)
        _discard(*self.finished(name), *self.before(name))
        if opened is not None:
            opened.replaced = True
            self._worker.submit(self._sessions.pop, name, None)

    async def score(self, image: OpenImage) -> Score:
        """How much an image needs a person; an image that is not open is not kept in memory for it."""
        known, marks, source = image.score, image.document.marks, self._source(image)
        if known is None:
            known = await self.compute(lambda: self._session_of(image, keep=False).score(marks))
            image.scored = marks, known
            self._scores.add(source, known)
        return known

    def _source(self, image: OpenImage) -> Hashable:
        """All that the score of an image follows from; its last mark stands for those before."""
        model, last = (self._model, self._constants, self.classes.names, self._class_file.of), image.document.marks[-1:]
        return model, image.photograph.name, image.photograph.stamp, [mark.id for mark in last]

    async def result(self, image: OpenImage, keep: bool = False) -> Result:
        """The map and the labels of an image at its size; of one that is done as they are in the folder of work.

        Args:
            image: its marks are those of now.
            keep: whether an image that is opened for it stays open.
        """
        marks = image.document.marks
        if image.document.done:
            with suppress(DataError):  # they are not written yet
                return await asyncio.to_thread(self._kept, image.photograph.name)
        return await self.compute(lambda: _result(self._session_of(image, keep), marks))

    async def write(self, image: OpenImage, entry: Entry) -> None:
        """Write an entry to the journal, apply it, and have the map shown; adding a mark twice changes nothing.

        Raises:
            DataError: for a class that the segmenter lacks.
            OSError: if it cannot be written; then nothing has changed.
        """
        async with image.order:
            await self._write(image, entry)
        image.notify()

    def check(self, mark: Mark) -> None:
        """Raises DataError if a new mark does not fit the segmenter, or would take too long to draw."""
        label = getattr(mark, "label", None)
        if label is not None and len(self.classes) <= label < IGNORE:
            raise DataError(f"class {label} is not one of the model's {len(self.classes)}")
        if isinstance(mark, Brush) and mark.radius > WIDEST:
            raise DataError(f"a brush has a radius of at most {WIDEST:.0f} pixels, not {mark.radius:g}: fill a polygon")

    async def write_made(
        self, image: OpenImage, make: Callable[[Session, list[Mark]], Mark], mark: str, by: str = ""
    ) -> None:
        """Add a mark that is made from the present map by a person."""
        async with image.order:
            if not image.document.has(mark):
                marks = image.document.marks
                made = await self.with_session(image, lambda session: make(session, marks))
                await self._write(image, Entry.model_validate({"mark": made, "by": by}))
        image.notify()

    async def _write(self, image: OpenImage, entry: Entry) -> None:
        if image.replaced:
            raise _replaced(image)
        if entry.mark is not None:
            self.check(entry.mark)
            if image.document.has(entry.mark.id):
                return
        await asyncio.to_thread(image.journal.append, entry)
        was_done = image.document.done
        image.document.apply(entry)
        if was_done and not image.document.done:
            _discard(*self.finished(image.photograph.name))

    def finished(self, name: str) -> tuple[Path, Path]:
        """The paths of the labels and the truth that an image has while it is done."""
        return self.folder / "labels" / f"{name}.png", self.folder / "truth" / f"{name}.png"

    def before(self, name: str) -> tuple[Path, Path]:
        """The paths of the map that was called done first, and of the initial prediction: what a review compares."""
        return self.folder / "first" / f"{name}.png", self.folder / "initial" / f"{name}.png"

    async def set_done(self, image: OpenImage, done: bool, by: str = "") -> None:
        """Mark an image as done, which writes its labels and its truth, or as not done.

        Raises:
            OSError: if they cannot be written; then nothing has changed.
        """
        async with image.order:
            await self._finish(image, Entry(done=done, by=by))
        image.notify()

    async def review(self, image: OpenImage, review: Review, comment: str = "", by: str = "") -> None:
        """Accept an image as it is now, which writes its labels and its truth, or send it back with a comment.

        Raises:
            DataError: if there is no name, nobody has called it done, or the one who did would accept it.
            OSError: if something cannot be written; then it is not reviewed.
        """
        async with image.order:
            image.document.check_review(review, by)
            if comment:
                await self._write(image, Entry(comment=comment, by=by))
            await self._finish(image, Entry(review=review, by=by))
        image.notify()

    async def _finish(self, image: OpenImage, entry: Entry) -> None:
        try:
            if entry.done or entry.review == "accepted":
                await self.with_session(image, partial(self._save, image))
            await self._write(image, entry)
        finally:
            if not image.document.done:
                _discard(*self.finished(image.photograph.name))

    async def restore(self) -> None:
        """Write labels and truth of images that are done again, where they are not there."""
        for photograph in await asyncio.to_thread(self.library.all):
            if all(map(_exists, self.finished(photograph.name))):
                continue
            with suppress(SegcodeError, OSError):  # they are reported when the image is opened
                image = await asyncio.to_thread(self.image, photograph.name)
                async with image.order:
                    if image.document.done:
                        await self.with_session(image, partial(self._save, image))

    def _save(self, image: OpenImage, session: Session) -> None:
        name, document = image.photograph.name, image.document
        made, (labels, truth) = _result(session, document.marks), self.finished(name)
        write_labels(labels, made.labels, self.classes, complete=True)
        write_labels(truth, made.truth, self.classes)
        if document.first_finished_by is None:
            first, initial = self.before(name)
            write_labels(first, made.labels, self.classes, complete=True)
            write_labels(initial, resize_labels(session.first, *session.size), self.classes, complete=True)

    def _kept(self, name: str) -> Result:
        ids = {index: index for index in (*range(len(self.classes)), IGNORE)}
        return Result(*(read_index_labels(path, self.classes, ids).labels for path in self.finished(name)))

    async def enter(self, image: OpenImage, viewer: Viewer) -> None:
        """Show an image to a viewer, and every change of it from then on."""
        image.viewers.append(viewer)
        if image.painter is None or image.painter.done():
            image.painter = asyncio.create_task(self._paint(image))
        image.send(image.describe(), "document")
        first = await self.with_session(image, lambda session: session.first)
        viewer.send(frame({"type": "first"}, [first]))
        image.changed.set()

    def leave(self, image: OpenImage, viewer: Viewer) -> None:
        """Remove a viewer and its draft."""
        image.viewers.remove(viewer)
        if not image.viewers and image.painter is not None:
            image.painter.cancel()
            image.painter = None  # a viewer that comes before it has ended gets another
            return
        image.notify()

    async def _paint(self, image: OpenImage) -> None:
        """Show the latest state whenever there is a newer one; states in between are skipped."""
        while True:
            await image.changed.wait()
            image.changed.clear()
            asked = perf_counter()
            marks = image.document.marks
            drafts = [viewer.draft for viewer in image.viewers if viewer.draft is not None]
            try:
                image.send(await self.with_session(image, partial(self._map, marks, drafts, asked)), "map")
                if any(viewer.uncertainty for viewer in image.viewers) and not image.changed.is_set():
                    shown = partial(_uncertainties, marks, drafts)
                    unsure = frame({"type": "uncertainty"}, await self.with_session(image, shown))
                    for viewer in image.viewers:
                        if viewer.uncertainty:
                            viewer.send(unsure, "uncertainty")
            except Exception as problem:  # any: a map that stops without a word is the worst answer
                image.send({"type": "problem", "message": said(problem)}, "problem")

    def _map(self, marks: list[Mark], drafts: list[Mark], asked: float, session: Session) -> bytes:
        began = perf_counter()
        shown = session.show(marks, drafts)
        header = {
            "type": "map",
            "marks": len(marks),
            "last": marks[-1].id if marks else None,
            "drafts": {mark.id: len(getattr(mark, "points", ())) for mark in drafts},
            "milliseconds": {"wait": 1000 * (began - asked), **shown.milliseconds},
            "status": shown.status,
            "exhaustive": sorted(shown.exhaustive),
            "memory": self.memory,
            "open": self.open_images,
        }
        return frame(header, [shown.labels, shown.painted])

    def _session_of(self, image: OpenImage, keep: bool = True) -> Session:
        if image.replaced:
            raise _replaced(image)

        def read() -> Image:
            pixels = image.photograph.read()
            image.journal.check_image()
            return pixels

        return self.session(image.photograph.name, read, image.photograph.name, keep)


def require_room(classes: ClassSet) -> None:
    """Raises ConfigError if there are more classes than a painting holds."""
    if len(classes) > VOID:
        raise ConfigError(f"{len(classes)} classes are more than the page can label ({VOID}): merge some")


def _result(session: Session, marks: list[Mark]) -> Result:
    return Result(session.final(marks), session.painting(marks).known)


def _replaced(image: OpenImage) -> ReplacedError:
    return ReplacedError(
        f"{image.photograph.path} was removed, or has another image or other classes now: reload the page"
    )


def _discard(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):  # the next start tries again
            path.unlink(missing_ok=True)


def _uncertainties(marks: list[Mark], drafts: list[Mark], session: Session) -> list[LabelImage]:
    """Of the map, and of the initial prediction."""
    return [session.uncertainty(marks, drafts), session.initial_uncertainty()]


def _exists(path: Path) -> bool:
    """Whether there is such a file; a name that is too long for one is none."""
    return os.path.exists(path)  # noqa: PTH110 - pathlib's raises an error for such a name
