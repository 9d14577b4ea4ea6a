"""The checkpoints of a training: whole or not there, and at home in whatever folder they lie in."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from segcode.errors import CheckpointError, reason
from segcode.files import replacing
from segcode.model.checkpoint import refuse_not_finite

_PARTS = {"epoch", "state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks"}


class WholeFiles(CheckpointIO):
    """Lightning's checkpoints, each written beside its place and renamed once it is on the disk.

    Lightning itself writes to the system's temporary folder and copies from there: a kill or a full disk cuts that off.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises CheckpointError if a weight is not finite."""
        refuse_not_finite(checkpoint["state_dict"], f"not saved to {path}: lower optimiser.learning_rate")
        content = io.BytesIO()
        torch.save(checkpoint, content)  # to a file it would report a full disk as a RuntimeError
        with replacing(Path(path)) as unfinished:
            unfinished.write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """`read_checkpoint`: never a pickle of anything but plain data and tensors, whatever is asked."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


class Checkpoints(ModelCheckpoint):
    """Lightning's callback, whose memory of its files follows them into the folder that a run was moved to."""

    def __init__(self, folder: Path, name: str, monitor: str | None = None) -> None:
        super().__init__(folder, name, monitor=monitor, mode="max", enable_version_counter=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        assert self.dirpath is not None
        folder = Path(self.dirpath)

        def here(value: object) -> object:
            if isinstance(value, dict):
                return {here(key): score for key, score in value.items()}
            return str(folder / Path(value).name) if isinstance(value, str) and value else value

        paths = "best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"
        super().load_state_dict(
            state_dict | {name: here(state_dict[name]) for name in paths} | {"dirpath": self.dirpath}
        )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU, as plain data and tensors.

    Raises:
        CheckpointError: if the file is missing, damaged, or not that of a training.
    """
    cure = "copy the run again, or train in a new folder"
    try:
        with zipfile.ZipFile(path) as archive:  # PyTorch does not look at the checksums
            if (part := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{part} has another checksum")
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: {cure}") from None
    except Exception as error:  # what damaged files raise is of no one kind
        raise CheckpointError(f"{path} is damaged ({reason(error)}): {cure}") from None
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not (
        isinstance(state, dict) and checkpoint.keys() >= _PARTS and all(isinstance(v, Tensor) for v in state.values())
    ):
        raise CheckpointError(f"{path} is no checkpoint of a training: {cure}")
    refuse_not_finite(state, f"{path} is damaged: {cure}")
    return checkpoint
