"""The rivals' learnt parts as a folder: heads.safetensors and config.json; no pickle."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from segcode.config import Count
from segcode.errors import CheckpointError
from segcode.evaluation.baselines.probabilistic_u_net import ProbabilisticUNet
from segcode.evaluation.baselines.ssn import LowRankHead
from segcode.files import replacing_folder
from segcode.model.checkpoint import fit, load_weights, read_config, save_weights, section
from segcode.model.segcode import SegCode

_WEIGHTS = "heads.safetensors"
_MADE_BY = "`segcode train-rivals`"


@dataclass(frozen=True)
class HeadsConfig:
    """The shape of the heads.

    Args:
        rank: of the stochastic segmentation network's Gaussian; 10 as in the paper.
        latent: numbers in the probabilistic U-Net's z; 6 as in the paper.
    """

    rank: Count = 10
    latent: Count = 6
    hidden: Count = 64


class Heads(nn.Module):
    """The parts that the stochastic segmentation network and the probabilistic U-Net add to a frozen model."""

    def __init__(self, model: SegCode, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        self.low_rank = LowRankHead(model.features, model.config, config.rank, config.hidden)
        self.latent = ProbabilisticUNet(model.features, model.config.classes, config.latent, config.hidden)


def refuse_existing(folder: Path) -> None:
    """Raises CheckpointError if something stands where heads are to be saved."""
    if folder.exists():
        raise CheckpointError(f"{folder} exists: name a new folder, or move it away")


def save_heads(folder: Path, heads: Heads, model: SegCode) -> None:
    """Write weights and configuration to a new folder, which appears complete or not at all.

    Raises:
        CheckpointError: if the folder exists, or a weight is not finite.
    """
    refuse_existing(folder)
    config = {"heads": asdict(heads.config), "model": _fingerprint(model)}
    with replacing_folder(folder) as unfinished:
        save_weights(unfinished / _WEIGHTS, heads.state_dict(), config)


def load_heads(folder: Path, model: SegCode) -> Heads:
    """Read a folder that `save_heads` wrote, on the device of the model and in evaluation mode.

    Raises:
        CheckpointError: if a file is missing or damaged, or the heads were trained on another model.
    """
    tables = read_config(folder, _WEIGHTS, _MADE_BY)
    config = section(folder, tables, "heads", HeadsConfig, _MADE_BY)
    if tables.get("model") != _fingerprint(model):
        raise CheckpointError(f"{folder} was trained on the features of another model: train the rivals on this one")
    tensors = load_weights(folder / _WEIGHTS)
    with torch.device("meta"):
        fit(tensors, Heads(model, config), folder / _WEIGHTS)
    heads = Heads(model, config)
    heads.load_state_dict(tensors)
    return heads.to(next(model.parameters()).device).eval()


def _fingerprint(model: SegCode) -> str:
    """A digest of features and initial prediction, in half precision."""
    digest = hashlib.sha256()
    for part in (model.get_submodule("features"), model.decoder.of_zero):
        for name, value in part.state_dict().items():
            digest.update(name.encode() + value.cpu().half().numpy().tobytes())
    return digest.hexdigest()
