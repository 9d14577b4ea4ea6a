"""The files of a folder that belong to images, by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from unicodedata import normalize

from segcode.data.files import IMAGE_SUFFIXES, pictures_below
from segcode.errors import ConfigError, DataError

_ENDING: Final = "_leftImg8bit"
"""The ending of Cityscapes' images, which is no part of their names."""


class FilesOfImages:
    """Files below a folder: FOLDER/a/NAME.npy belongs to the image a/NAME."""

    def __init__(self, folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> None:
        """Look for files with these suffixes.

        Raises:
            ConfigError: if the folder has none.
        """
        self._folder = folder
        self._files, self._problems = pictures_below(folder, suffixes, _ENDING)
        if not self._files and not self._problems:
            there = "has no files" if folder.is_dir() else "is no folder with files"
            raise ConfigError(f"{folder} {there} ({', '.join(sorted(suffixes))}): give the folder that holds them")

    def of(self, name: str | None) -> Path:
        """The file of an image. Raises DataError if there is none, or two."""
        if name is None:
            raise DataError(f"the image has no name to find its file in {self._folder} by: give one to set_image")
        name = normalize("NFC", name).removesuffix(_ENDING)
        if name in self._problems:
            raise DataError(self._problems[name])
        path = self._files.get(name)
        if path is None:
            first = min((*self._files, *self._problems))
            raise DataError(
                f"{self._folder} has no file for the image '{name}' ({len(self._files)} files, first '{first}'): name "
                "the files as the images, in the same folders below those that are given"
            )
        return path
