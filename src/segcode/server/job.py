"""All images of a studio as one job: which of them are meant, and their export as files or as a zip."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Iterable

from segcode.errors import SegcodeError
from segcode.export.choices import Layout, Which
from segcode.export.job import File, Finished, Job
from segcode.server.library import Photograph
from segcode.server.problems import said
from segcode.server.studio import Studio


def chosen(studio: Studio, which: Which) -> list[Photograph]:
    """The images that are so far, or flagged, without honeypots; one that cannot be worked on is to do.

    Those that are accepted are done, too; those that are not yet are to review.
    """
    return [one for one in studio.library.all() if not one.honeypot and _is(studio, one.name, which)]


def _is(studio: Studio, name: str, which: Which) -> bool:
    progress = studio.progress(name)
    state, done = progress.state, progress.state in ("done", "accepted")
    groups = {"all": True, "to do": not done, "done": done, "to review": state == "done", "flagged": progress.flagged}
    return groups.get(which, which == state)


async def zipped(files: AsyncIterator[File]) -> AsyncIterator[bytes]:
    """The parts of a zip of some files; each is made once the one before was taken."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        async for file in files:
            await asyncio.to_thread(archive.writestr, file.path, file.content)
            yield sink.taken()
    yield sink.taken()


async def export_files(
    studio: Studio, photographs: Iterable[Photograph], layout: Layout, left_out: list[str]
) -> AsyncIterator[File]:
    """The export of some images, one computed after the other.

    What cannot be exported is added to `left_out` with the reason, and is named in the file `left_out.txt`.
    """
    job = Job(layout, studio.classes)
    names = export_names(studio.library.all())
    for photograph in photographs:
        try:
            made = await studio.result(studio.image(photograph.name))
        except (SegcodeError, OSError, KeyError) as error:  # a KeyError: it was removed meanwhile
            left_out.append(f"{photograph.file_name}: {said(error)}")
            continue
        name = names[photograph.name]
        file_name = name + photograph.file_name.removeprefix(photograph.original_name)
        for file in await asyncio.to_thread(list, job.add(Finished(name, file_name, *made))):
            yield file
    for file in await asyncio.to_thread(list, job.end()):
        yield file
    if left_out:
        yield File("left_out.txt", "".join(f"{line}\n" for line in left_out).encode())


def export_names(photographs: Iterable[Photograph]) -> dict[str, str]:
    """The original names of images by those in the library, which uploads keep where another image has theirs."""
    others = {photograph.name for photograph in photographs if not photograph.uploaded}
    return {one.name: one.name if one.original_name in others else one.original_name for one in photographs}


class _Sink(io.RawIOBase):
    """What is written waits here until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
