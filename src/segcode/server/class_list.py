"""The class list of the page, which can be changed while people work, and the class file that keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from segcode.classes import ClassSet
from segcode.data.folder import ClassFile, class_file_text, parse_class_file, read_class_file
from segcode.errors import ConfigError, DataError, listed
from segcode.files import write_text
from segcode.prediction import Segmenter
from segcode.refinement.refiner import as_segmenter
from segcode.segmenters.merged import merge, merged_groups
from segcode.segmenters.named_classes import ids_of
from segcode.server.studio import Studio, require_room
from segcode.tensors import Image


class ClassList:
    """Names, colours, ids and keys over the classes of a segmenter, which may be merged.

    Attributes:
        listed: the class list; `of` names every class of the segmenter.
        segmenter: predicts these classes.
    """

    def __init__(self, segmenter: Segmenter | Callable[[Image], Any], own: ClassSet, file: Path) -> None:
        """The list of a class file, or the classes of a segmenter where there is no such file.

        Raises:
            ConfigError: if the file is wrong, or does not fit the segmenter.
        """
        self._segmenter, self._own, self._file = as_segmenter(segmenter), own, file
        self._changing = asyncio.Lock()
        self._take(read_class_file(file) if file.exists() else ids_of(own))

    async def change(self, tables: Sequence[Mapping[str, Any]], studio: Studio) -> None:
        """Write another list to the class file, and let a studio go on with it.

        Args:
            tables: of the classes, as a class file has them.
            studio: works with this list.

        Raises:
            ConfigError: if the list is wrong, does not fit the segmenter, or moves a class that is labelled.
            OSError: if it cannot be written; then nothing has changed.
        """
        async with self._changing:
            void = self.listed.void
            wanted = parse_class_file({"void": void, "class": list(tables)}, "the class list")
            merged_groups(wanted, self._own)
            require_room(wanted.classes)
            await asyncio.to_thread(_refuse_moves, studio, wanted)
            await asyncio.to_thread(write_text, self._file, class_file_text(wanted.tables, void))
            self._take(wanted)
            await studio.use_classes(self.listed, self.segmenter)

    def _take(self, wanted: ClassFile) -> None:
        groups = merged_groups(wanted, self._own)
        self.segmenter = merge(self._segmenter, groups)
        self.listed = wanted._replace(of=tuple(tuple(self._own.names[i] for i in group) for group in groups))


def _refuse_moves(studio: Studio, wanted: ClassFile) -> None:
    """Raises ConfigError for a class that labels count and that is not at its place, under its name or a new one."""
    now, then = studio.classes.names, [(table["name"], *table["was"]) for table in wanted.tables]
    moved = [index for index, name in enumerate(now) if index >= len(then) or name not in then[index]]
    counted: dict[str, set[int]] = {}
    for photograph in studio.library.all():
        with suppress(DataError, KeyError):  # it is reported when the image is opened
            counted[photograph.name] = studio.counted(photograph.name)
    for index in moved:
        if images := [name for name, labels in counted.items() if index in labels]:
            raise ConfigError(
                f"'{now[index]}' is a class of the work on {listed(images, 3)}: it may get another name and other "
                "members, but it keeps its place, and new classes come last. For other lists start another folder of "
                "work (-o)"
            )
