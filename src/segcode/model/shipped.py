"""The models that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from segcode.errors import CheckpointError, nearest

WEIGHTS = Path(__file__).parent.parent / "weights"
"""One folder for each model, as `save_model` writes it."""


def shipped_models() -> tuple[str, ...]:
    """Names of the models in the package."""
    return tuple(sorted(path.parent.name for path in WEIGHTS.glob("*/config.json")))


def find_model(name_or_folder: str | Path) -> Path:
    """The folder of a model: a path with a config.json is taken as it is, anything else as a shipped model's name.

    A folder of another kind, such as a data set, hides no shipped model of its name. A folder without config.json that
    is no shipped name is returned too, so that `load_model` can name the file that is missing.

    Raises:
        CheckpointError: if there is neither; nothing is ever downloaded.
    """
    folder = Path(name_or_folder)
    shipped = shipped_models()
    if not (folder / "config.json").is_file() and str(name_or_folder) in shipped:
        return WEIGHTS / name_or_folder
    if folder.is_dir():
        return folder
    raise CheckpointError(
        f"no folder and no shipped model is called '{name_or_folder}': "
        + (nearest(str(name_or_folder), shipped) if shipped else "give the folder `model/` of a training")
    )
