"""The data sets that segcode can open, by name.

Readers are imported when they are used: the command line names the data sets in `--help`, which imports nothing heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from segcode.errors import ConfigError, nearest

if TYPE_CHECKING:
    from segcode.sample import Source

Kind: TypeAlias = Literal["camvid", "cityscapes", "folder", "streets"]
"""The data sets that `open_source` can open: the only list of them."""

KINDS: Final[tuple[str, ...]] = get_args(Kind)

STREETS: Final = {"train": (0, 2000), "val": (1, 100), "test": (2, 100)}
"""Seed and number of the synthetic streets in each split; other seeds give other streets."""


def open_source(kind: str, root: Path | None, split: str, height: int = 240, width: int = 320) -> Source:
    """The samples of one split.

    Args:
        kind: one of `KINDS`; `open_camvid`, `open_cityscapes` and `open_folder` describe their files.
        root: the data set's folder; not used for "streets", which are drawn and not read.
        split: "train", "val", "test" or what the data set has.
        height: of drawn images, in pixels; images from files come in the size of the file.
        width: likewise.

    Raises:
        ConfigError: if there is no such kind or split, or `root` is not given where one is needed.
        DataError: if `root` does not hold the data set.
    """
    if kind not in KINDS:
        raise ConfigError(f"no data set is called '{kind}': {nearest(kind, KINDS)}")
    if kind == "streets":
        from segcode.streets import Streets

        if split not in STREETS:
            raise ConfigError(f"the streets have no split '{split}': {nearest(split, STREETS)}")
        seed, count = STREETS[split]
        return Streets(count=count, seed=seed, height=height, width=width)
    if root is None:
        raise ConfigError(f"'{kind}' is read from files: give the folder that it lies in as its root")
    from segcode.data.camvid import open_camvid
    from segcode.data.cityscapes import open_cityscapes
    from segcode.data.folder import open_folder

    return {"camvid": open_camvid, "cityscapes": open_cityscapes, "folder": open_folder}[kind](root, split)
