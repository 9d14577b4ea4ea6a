"""Everything that is under work: one model, one thread that computes, the images that are open, and who looks on."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeAlias, TypeVar

from segcode.classes import ClassSet
from segcode.errors import DataError
from segcode.export.picture import write_picture
from segcode.model.segcode import SegCode
from segcode.server.journal import Document, Entry, Journal
from segcode.server.library import Library, Photograph
from segcode.server.marks import WIDEST, Brush, Mark
from segcode.server.messages import frame
from segcode.server.session import Samples, Session, start_mark
from segcode.tensors import Image

Result = TypeVar("Result")
Message: TypeAlias = dict[str, Any] | bytes
"""JSON, or a binary frame."""


class Viewer:
    """A tab that looks at an image; what it is told waits for it here, so that a slow one holds up nobody.

    Attributes:
        draft: the mark that is being drawn in it.
        uncertainty: whether it wants the uncertainty after each map.
    """

    def __init__(self) -> None:
        self.draft: Mark | None = None
        self.uncertainty = False
        self._waiting: dict[object, Message] = {}
        self._news = asyncio.Event()
        self._gone = False

    def tell(self, message: Message, topic: str | None = None) -> None:
        """Say something; what was said of the same topic, and has not been taken yet, is outdated."""
        self._waiting[topic or object()] = message
        self._news.set()

    def end(self) -> None:
        """Nothing more will be said."""
        self._gone = True
        self._news.set()

    async def messages(self) -> AsyncIterator[Message]:
        """What there is to say, until the end."""
        while self._waiting or not self._gone:
            if self._waiting:
                yield self._waiting.pop(next(iter(self._waiting)))
            else:
                self._news.clear()
                await self._news.wait()


@dataclass(eq=False)
class Room:
    """An image that is open: its document, who looks on, and what has yet to be shown.

    Every change is written to the journal before it counts, in the order in which it came.
    """

    photograph: Photograph
    journal: Journal
    document: Document
    viewers: list[Viewer] = field(default_factory=list)
    samples: dict[int, Samples] = field(default_factory=dict)
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    painter: asyncio.Task[None] | None = None

    def describe(self) -> dict[str, Any]:
        """What every viewer should know of the document."""
        document = self.document
        return {
            "type": "document",
            "name": self.photograph.name,
            "state": document.state,
            "marks": len(document.marks),
            "undo": document.can_undo,
            "redo": document.can_redo,
            "viewers": len(self.viewers),
        }

    def tell(self, message: Message, topic: str | None = None) -> None:
        """Say something to every viewer."""
        for viewer in self.viewers:
            viewer.tell(message, topic)

    def news(self) -> None:
        """The document has changed, or who looks on: say so, and have the map follow."""
        self.tell(self.describe(), "document")
        self.changed.set()


class Studio:
    """The state of the server."""

    def __init__(
        self, model: SegCode, classes: ClassSet, library: Library, folder: Path, device: str, memory: int
    ) -> None:
        """Work on a library of images.

        Args:
            model: loaded once, for all.
            classes: of the model.
            library: the images.
            folder: where journals, labels and truth are kept.
            device: where to compute.
            memory: bytes that open images may take together; those that nobody used longest are closed, and opened
                again from their journals.
        """
        self.model = model
        self.classes = classes
        self.library = library
        self.folder = folder
        self._device = device
        self._memory = memory
        self._worker = ThreadPoolExecutor(1, "segcode")
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._rooms: dict[str, Room] = {}

    def close(self) -> None:
        """Stop computing."""
        self._worker.shutdown(cancel_futures=True)

    @property
    def memory(self) -> int:
        """Bytes of the images that are open."""
        return sum(session.memory for session in list(self._sessions.values()))

    @property
    def work(self) -> str:
        """Tells the folder of work from others, for what a browser keeps of it."""
        return sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]

    @property
    def open_images(self) -> int:
        """How many are in memory."""
        return len(self._sessions)

    async def compute(self, work: Callable[[], Result]) -> Result:
        """Run something in the one thread that computes, after what was asked before."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def with_session(self, room: Room, work: Callable[[Session], Result]) -> Result:
        """Run something on an image, which is opened first if it is not."""
        return await self.compute(lambda: work(self._session(room)))

    def open(self, image: Image) -> Session:
        """Set an image, of the library or not; in the thread that computes."""
        return Session(self.model, image, self._device)

    def room(self, name: str) -> Room:
        """Of an image.

        Raises:
            KeyError: if there is no such image.
            DataError: if its journal is damaged, or of an image of another size.
        """
        if name not in self._rooms:
            photograph = self.library.get(name)
            if photograph is None:
                raise KeyError(name)
            journal = Journal(self._log(name), photograph)
            opened = Room(photograph, journal, journal.read())
            self._rooms.setdefault(name, opened)  # of two threads that ask at once, one's counts
        return self._rooms[name]

    def _log(self, name: str) -> Path:
        return self.folder / "journals" / f"{name}.jsonl"

    def upload(self, name: str, content: bytes) -> Photograph:
        """Keep an image that was sent, under a name that no work was done on. Raises DataError as `Library.upload`."""
        return self.library.upload(name, content, lambda free: self._log(free).exists())

    def state(self, name: str) -> Literal["untouched", "in work", "done"]:
        """Of an image; a damaged journal, of which `room` tells, has work in it and stops no list."""
        try:
            return self.room(name).document.state
        except DataError:
            return "in work"

    async def write(self, room: Room, entry: Entry) -> None:
        """Keep an entry, let it count, and have the map follow; a mark that is there already is kept once.

        Raises:
            DataError: for a class that the model lacks.
            OSError: if it cannot be written; then nothing has changed.
        """
        async with room.order:
            await self._write(room, entry)
        room.news()

    def check(self, mark: Mark) -> None:
        """Raises DataError if a new mark does not fit the model, or would take too long to draw."""
        label, code = getattr(mark, "label", None), getattr(mark, "code", None)
        if label is not None and label >= len(self.classes):
            raise DataError(f"class {label} is not one of the model's {len(self.classes)}")
        if code is not None and len(code) != self.model.config.code_size:
            raise DataError(f"a code has {self.model.config.code_size} numbers, not {len(code)}")
        if isinstance(mark, Brush) and mark.radius > WIDEST:
            raise DataError(f"a brush has a radius of at most {WIDEST:.0f} pixels, not {mark.radius:g}: fill a polygon")

    async def write_made(self, room: Room, make: Callable[[Session, list[Mark]], Mark], mark: str) -> None:
        """Keep a mark that is made from the map as it is then."""
        async with room.order:
            if not room.document.has(mark):
                marks = room.document.marks
                made = await self.with_session(room, lambda session: make(session, marks))
                await self._write(room, Entry.model_validate({"mark": made}))
        room.news()

    async def _write(self, room: Room, entry: Entry) -> None:
        if entry.mark is not None:
            self.check(entry.mark)
            if room.document.has(entry.mark.id):
                return
        await asyncio.to_thread(room.journal.append, entry)
        was_done = room.document.done
        room.document.apply(entry)
        if was_done and not room.document.done:
            for path in self._finished(room):
                with suppress(OSError):  # what was asked for is written; these are made anew once the image is done
                    path.unlink()

    def _finished(self, room: Room) -> tuple[Path, Path]:
        """Where the labels and the truth of an image are while it is done."""
        place = room.photograph.name + ".png"
        return self.folder / "labels" / place, self.folder / "truth" / place

    async def set_done(self, room: Room, done: bool) -> None:
        """Call an image done, which writes its labels and its truth, or not."""
        async with room.order:
            if done:
                await self._save(room)
            await self._write(room, Entry(done=done))
        room.news()

    async def _save(self, room: Room) -> None:
        """Write the labels and the truth of an image as they are now."""
        marks = room.document.marks
        labels, truth = self._finished(room)

        def save(session: Session) -> None:
            write_picture(labels, session.final(marks))
            write_picture(truth, session.painting(marks).labels)

        await self.with_session(room, save)

    async def sample(self, room: Room, seed: int) -> Samples:
        """Maps that the marks leave open; the last few are kept, for one may be chosen."""
        marks = room.document.marks
        drawn = await self.with_session(room, lambda session: session.sample(marks, seed))
        room.samples[seed] = drawn
        while len(room.samples) > 8:
            room.samples.pop(next(iter(room.samples)))
        return drawn

    async def start_from(self, room: Room, seed: int, index: int, mark: str) -> None:
        """Let a sample's map be the first prediction."""
        samples = room.samples.get(seed) or await self.sample(room, seed)
        await self.write(room, Entry.model_validate({"mark": start_mark(samples, index, mark)}))

    async def enter(self, room: Room, viewer: Viewer) -> None:
        """Show an image to a viewer, and every change of it from then on."""
        room.viewers.append(viewer)
        if room.painter is None or room.painter.done():
            room.painter = asyncio.create_task(self._paint(room))
        room.tell(room.describe(), "document")
        first = await self.with_session(room, lambda session: session.first)
        viewer.tell(frame({"type": "first"}, [first]))
        room.changed.set()

    def leave(self, room: Room, viewer: Viewer) -> None:
        """A viewer is gone, and so is what it was drawing."""
        room.viewers.remove(viewer)
        if not room.viewers and room.painter is not None:
            room.painter.cancel()
            room.painter = None  # who comes before it has ended gets another
            return
        room.news()

    async def _paint(self, room: Room) -> None:
        """Show the latest state as often as there is a newer one; what came in between is skipped."""
        while True:
            await room.changed.wait()
            room.changed.clear()
            asked = perf_counter()
            marks = room.document.marks
            drafts = [viewer.draft for viewer in room.viewers if viewer.draft is not None]
            try:
                shown = partial(self._map, marks=marks, drafts=drafts, asked=asked)
                room.tell(await self.with_session(room, shown), "map")
                if any(viewer.uncertainty for viewer in room.viewers) and not room.changed.is_set():
                    doubt = await self.with_session(room, partial(_doubt, marks=marks, drafts=drafts))
                    for viewer in room.viewers:
                        if viewer.uncertainty:
                            viewer.tell(doubt, "uncertainty")
            except Exception as problem:  # of whatever kind: a map that stops without a word is the worst answer
                room.tell({"type": "problem", "message": str(problem)}, "problem")

    def _map(self, session: Session, marks: list[Mark], drafts: list[Mark], asked: float) -> bytes:
        began = perf_counter()
        shown = session.show(marks, drafts)
        header = {
            "type": "map",
            "marks": len(marks),
            "last": marks[-1].id if marks else None,
            "drafts": {mark.id: len(getattr(mark, "points", ())) for mark in drafts},
            "milliseconds": {"wait": 1000 * (began - asked), **shown.milliseconds},
            "status": "drawing" if drafts else shown.status,
            "solver": shown.solver,
            "whole": sorted(shown.whole),
            "memory": self.memory,
            "open": self.open_images,
        }
        return frame(header, [shown.labels, shown.painted])

    def _session(self, room: Room) -> Session:
        """In the thread that computes."""
        photograph = room.photograph
        if photograph.name not in self._sessions:
            image = photograph.read()
            room.journal.check_image()
            self._sessions[photograph.name] = self.open(image)
        self._sessions.move_to_end(photograph.name)
        while self.memory > self._memory and len(self._sessions) > 1:
            self._sessions.popitem(last=False)
        return self._sessions[photograph.name]


def _doubt(session: Session, marks: list[Mark], drafts: list[Mark]) -> bytes:
    return frame({"type": "uncertainty"}, [session.uncertainty(marks, drafts)])
