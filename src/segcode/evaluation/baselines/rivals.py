"""All rivals at the same job, ready for one model."""

from __future__ import annotations

from pathlib import Path

from segcode.evaluation.baselines.dense_crf import DenseCRF, is_installed
from segcode.evaluation.baselines.f_brs import FBRS
from segcode.evaluation.baselines.heads import load_heads
from segcode.evaluation.baselines.probabilistic_u_net import LikeliestSample, OptimisedLatent
from segcode.evaluation.baselines.ssn import SSN
from segcode.evaluation.methods import Method, Optimised, Pasted
from segcode.model.segcode import SegCode


def load_rivals(folder: Path, model: SegCode) -> list[Method]:
    """Every rival with its default settings; DenseCRF where `pip install 'segcode[rivals]'` was done.

    Args:
        folder: what `segcode train-rivals` wrote for this model.
        model: whose features they use.

    Raises:
        CheckpointError: if the folder is damaged, or for another model.
    """
    heads = load_heads(folder, model)
    rivals: list[Method] = [FBRS(), SSN(heads.low_rank), LikeliestSample(heads.latent), OptimisedLatent(heads.latent)]
    return [*rivals, DenseCRF(Pasted()), DenseCRF(Optimised())] if is_installed() else rivals
