from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from segcode.refinement import layers as layers_module
from segcode.refinement.layers import Layers


def made(size: float, classes: int = 5) -> Layers:
    draw = np.random.default_rng(0)
    base, added = (draw.standard_normal((classes, *grid), np.float32) for grid in ((24, 37), (7, 11)))
    return Layers(3 * base).plus(np.float32(size) * added)


def summed(layers: Layers) -> np.ndarray:
    added = functional.interpolate(torch.from_numpy(layers.added)[None], layers.grid, mode="bilinear")
    return layers.base + added[0].numpy()


@pytest.mark.parametrize("size", [0.0, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("classes", [(), (0, 2, 3), (1,)])
def test_the_highest_is_that_of_the_sum_however_little_is_added(monkeypatch, size, classes):
    monkeypatch.setattr(layers_module, "_NUMBERS", 600)
    layers = made(size)
    expected = summed(layers)[list(classes) or slice(None)].argmax(0)
    for _ in range(2):  # the second time from the leads that are kept
        assert np.array_equal(layers.highest(classes), expected)
    assert np.array_equal(Layers(layers.base).highest(), layers.base.argmax(0))


def test_logits_are_summed_only_where_what_is_added_may_change_the_class(monkeypatch):
    layers = made(0.0)
    layers.added[1, :2, :3] = 50
    seen = []
    block = Layers.block
    monkeypatch.setattr(
        Layers, "block", lambda self, *part, **of: seen.append((self, part)) or block(self, *part, **of)
    )
    assert np.array_equal(layers.highest(), summed(layers).argmax(0))
    parts = [part for one, part in seen if one is layers]
    assert [(part[1].start, part[1].stop <= 15) for part in parts] == [(0, True)] * len(parts)


def test_a_block_is_a_part_of_the_sum():
    layers = made(1.0)
    block = layers.block(slice(5, 9), slice(30, 40), (3, 0))
    assert np.allclose(block, summed(layers)[[3, 0], 5:9, 30:40], atol=1e-5)
    assert np.allclose(layers.sum(), summed(layers), atol=1e-5)
