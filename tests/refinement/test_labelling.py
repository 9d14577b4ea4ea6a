from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from segcode.refinement.labelling import labels_of
from segcode.refinement.layers import Layers

GRID = (9, 13)


def smooth(classes: int, seed: int) -> Tensor:
    """Logits of a few large regions."""
    coarse = 5 * torch.randn(1, classes, 3, 4, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, GRID, mode="bicubic")[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [GRID, (18, 26), (40, 31), (31, 200), (9, 14), (100, 1), (5, 20)])
def test_the_highest_is_that_of_resized_logits(size, seed):
    logits = smooth(5, seed)
    resized = functional.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
    labels = torch.from_numpy(labels_of(Layers(logits.numpy()), size))
    best, second = resized.topk(2, dim=0).values
    decided = best - second > 1e-4
    assert labels.shape == size
    assert labels.dtype == torch.uint8
    assert decided.float().mean() > 0.9
    assert torch.equal(labels[decided], resized.argmax(0).to(torch.uint8)[decided])


def test_a_grid_of_one_cell_is_of_one_class():
    assert (labels_of(Layers(np.array([0.0, 2.0, 1.0], np.float32)[:, None, None]), (4, 3)) == 1).all()


def test_every_pixel_may_lie_on_an_edge():
    logits = torch.randn(3, *GRID, generator=torch.Generator().manual_seed(0))
    resized = functional.interpolate(logits[None], (20, 30), mode="bilinear", align_corners=False)[0]
    assert (labels_of(Layers(logits.numpy()), (20, 30)) == resized.argmax(0).numpy()).mean() > 0.999


@pytest.mark.parametrize("size", [(5, 6), (1, 1), (9, 6), (3, 13)])
def test_a_smaller_map_has_the_classes_of_the_nearest_cells(size):
    logits = smooth(5, 0)
    nearest = functional.interpolate(logits.argmax(0)[None, None].float(), size, mode="nearest-exact")[0, 0]
    assert (labels_of(Layers(logits.numpy()), size) == nearest.numpy()).all()
