"""The models that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from segcode.errors import CheckpointError, nearest

WEIGHTS = Path(__file__).parent.parent / "weights"
"""One folder a model, as `save_model` writes it."""


def shipped_models() -> tuple[str, ...]:
    """Names of the models in the package."""
    return tuple(sorted(path.parent.name for path in WEIGHTS.glob("*/config.json")))


def find_model(name_or_folder: str | Path) -> Path:
    """The folder of a model: one with a config.json is taken as it is, anything else as the name of a shipped model.

    A folder of another kind, such as a data set, hides no shipped model of its name. If there is none it is returned,
    for `load_model` to tell what it lacks.

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
