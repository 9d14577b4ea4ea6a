"""All rivals, ready for one model, and their constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from segcode.config import parse
from segcode.errors import CheckpointError, ConfigError
from segcode.evaluation.baselines.dense_crf import DenseCRF, DenseCRFConfig, is_installed
from segcode.evaluation.baselines.f_brs import FBRS
from segcode.evaluation.baselines.heads import Heads, load_heads
from segcode.evaluation.baselines.probabilistic_u_net import LikeliestSample, OptimisedLatent
from segcode.evaluation.baselines.ssn import SSN
from segcode.evaluation.methods import Method, Pasted, Refined
from segcode.files import replacing
from segcode.model.segcode import SegCode
from segcode.stored import read_stored, write_stored


@dataclass(frozen=True)
class RivalConstants:
    """Constants of the rivals; the defaults are where `tune` starts.

    Args:
        f_brs: regulariser of f-BRS.
        ssn: label weight of the stochastic segmentation network.
        u_net: label weight of the probabilistic U-Net's optimised latent.
        crf: of DenseCRF on the initial prediction.
        crf_after: of DenseCRF after segcode.
    """

    f_brs: float = 0.3
    ssn: float = 1.0
    u_net: float = 1.0
    crf: DenseCRFConfig = field(default_factory=DenseCRFConfig)
    crf_after: DenseCRFConfig = field(default_factory=DenseCRFConfig)


FACTORS: Final = (1.0, 0.1, 0.3, 3.0, 10.0)
"""Factors of a constant's default that are tried when it is tuned."""

_TUNED: Final = (
    ("f_brs", None),
    ("ssn", None),
    ("u_net", None),
    *((crf, name) for crf in ("crf", "crf_after") for name in ("smoothing", "bilateral", "colour_deviation")),
)

_FILE: Final = "constants.json"


def make_rivals(heads: Heads, constants: RivalConstants) -> dict[str, Method]:
    """Every rival by the name of its constants; DenseCRF where `pip install 'segcode[rivals]'` was done."""
    methods: dict[str, Method] = {
        "f_brs": FBRS(constants.f_brs),
        "ssn": SSN(heads.low_rank, constants.ssn),
        "u_net, best": LikeliestSample(heads.latent),
        "u_net": OptimisedLatent(heads.latent, constants.u_net),
    }
    if is_installed():
        methods["crf"] = DenseCRF(Pasted(), constants.crf)
        methods["crf_after"] = DenseCRF(Refined(), constants.crf_after)
    return methods


def load_rivals(folder: Path, model: SegCode) -> list[Method]:
    """Every rival, with the constants that `save_constants` wrote.

    Raises:
        CheckpointError: if the folder is damaged, or for another model.
    """
    return list(make_rivals(load_heads(folder, model), load_constants(folder)).values())


def tune(heads: Heads, start: RivalConstants, accuracy: Callable[[Method], float]) -> RivalConstants:
    """Choose each constant in turn, the others held, among `FACTORS` of its value.

    `accuracy` is that of a rival on the images that constants are tuned on.
    """
    best = start
    for rival, name in _TUNED:
        if rival in make_rivals(heads, best):
            candidates = [_scaled(best, rival, name, factor) for factor in FACTORS]
            best = max(candidates, key=lambda constants: accuracy(make_rivals(heads, constants)[rival]))
    return best


def _scaled(constants: RivalConstants, rival: str, name: str | None, factor: float) -> RivalConstants:
    value = getattr(constants, rival)
    if name is not None:
        return replace(constants, **{rival: replace(value, **{name: factor * getattr(value, name)})})
    return replace(constants, **{rival: factor * value})


def save_constants(folder: Path, constants: RivalConstants) -> None:
    """Write constants beside the heads."""
    with replacing(folder / _FILE) as unfinished:
        write_stored(unfinished, {"constants": asdict(constants)})


def load_constants(folder: Path) -> RivalConstants:
    """The constants of a folder of heads; the defaults before they are tuned.

    Raises:
        CheckpointError: if the file is damaged.
    """
    file = folder / _FILE
    if not file.exists():
        return RivalConstants()
    tables = read_stored(file, "`segcode clicks --tune-rivals`")
    try:
        return parse(RivalConstants, tables.get("constants"), str(file))
    except ConfigError as error:
        raise CheckpointError(f"{error}: delete it, or tune the rivals again") from None
