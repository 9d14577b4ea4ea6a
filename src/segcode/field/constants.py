"""The constants of the Gaussian model: fitted once by `segcode fit`, the same for every image and class."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from segcode.config import parse
from segcode.errors import CheckpointError, ConfigError
from segcode.stored import read_stored, write_stored

SHIPPED: Final = Path(__file__).parent / "constants.json"
"""Fitted on out-of-fold predictions of CamVid train; `docs/results.md` has the command."""


@dataclass(frozen=True)
class FieldConstants:
    """The weights of the initial prediction, the field, the code and the labels against each other.

    Args:
        edge_scales: for each feature level, the factor of the squared feature difference of neighbouring cells, that
            difference being divided by its mean over images; the larger, the sharper an edge of that level cuts.
        floor: smallest weight of an edge, relative to that of two equal cells.
        pull: precision of each cell towards zero, relative to the weight of two equal cells; the larger, the shorter
            the reach of a label.
        pull_relief: g of pull exp(-g H - r mean(H)): how much weaker the pull is at a cell for each nat of the entropy
            H of the initial prediction there.
        image_relief: r: how much weaker it is everywhere for each nat of the mean entropy over the image. A segmenter
            that is unsure of a scene is wrong in larger regions of it.
        prior_variance: V of C = V Q^-1, the covariance of the field, in squared logits.
        label_weight: weight of the log-likelihood of a labelled cell.
        temperature: the initial prediction's logits are divided by this.
        code_variance: prior variance of each number of the code; 1 is the paper's, 0 leaves the code out.
        code_weight: weight of a labelled cell for the code beyond 128 such cells, as in masks: neighbours err alike.
        draw_scale: draws of the field lie this many times as far from the mode as the posterior says; below 1, a cold
            posterior (Wenzel et al. 2020). Probabilities at the mode are calibrated, and wide draws blur them.

    Raises:
        ConfigError: for a value outside its range.
    """

    edge_scales: tuple[float, ...]
    floor: float
    pull: float
    pull_relief: float
    image_relief: float
    prior_variance: float
    label_weight: float
    temperature: float = 1.0
    code_variance: float = 0.0
    code_weight: float = 1.0
    draw_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("pull", "prior_variance", "label_weight", "temperature"):
            value = getattr(self, name)
            if not (0 < value < math.inf):
                raise ConfigError(f"{name} is {value:g}: give a finite number above 0")
        for name, value in (
            ("floor", self.floor),
            ("pull_relief", self.pull_relief),
            ("image_relief", self.image_relief),
            ("code_variance", self.code_variance),
            ("code_weight", self.code_weight),
            ("draw_scale", self.draw_scale),
        ):
            if not (0 <= value < math.inf):
                raise ConfigError(f"{name} is {value:g}: give a finite number of at least 0")
        if not self.edge_scales or not all(0 <= scale < math.inf for scale in self.edge_scales):
            raise ConfigError(f"edge_scales are {self.edge_scales}: give a finite number of at least 0 for each level")

    def save(self, file: Path) -> None:
        """Write them as JSON."""
        write_stored(file, {"constants": asdict(self)})


def load_constants(file: Path = SHIPPED) -> FieldConstants:
    """Read constants that `FieldConstants.save` wrote, or those in a folder of `segcode fit`; or the shipped ones.

    Raises:
        CheckpointError: if the file is missing, damaged, or of a later format.
    """
    file = file / SHIPPED.name if file.is_dir() else file
    tables = read_stored(file, "`segcode fit`", by_hand=True)
    if others := sorted(tables.keys() - {"constants"}):  # such as a digest under a damaged name
        raise CheckpointError(f"{file} has '{others[0]}', which is no table of constants: remove that line")
    try:
        return parse(FieldConstants, tables.get("constants"), str(file))
    except ConfigError as error:
        raise CheckpointError(f"{error}: write it again with `segcode fit`") from None
