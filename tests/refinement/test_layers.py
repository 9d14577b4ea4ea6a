from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from segcode.refinement import layers as layers_module
from segcode.refinement.blocks import Blocks
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
    for _ in range(2):  # the second time from the bounds that are kept
        assert np.array_equal(layers.highest(classes), expected)
    assert np.array_equal(Layers(layers.base).highest(), layers.base.argmax(0))


def test_logits_are_summed_only_where_what_is_added_may_change_the_class(monkeypatch):
    layers = made(0.0)
    layers = Layers(np.repeat(layers.base[:, :1, :1], 24, 1).repeat(37, 2)).plus(layers.added)
    layers.added[int(layers.base[:, 0, 0].argmin()), :2, :3] = 50
    summed_at = []
    write = Blocks.write_highest
    monkeypatch.setattr(
        Blocks, "write_highest", lambda self, *given, **of: summed_at.append(self) or write(self, *given, **of)
    )
    assert np.array_equal(layers.highest(), summed(layers).argmax(0))
    (blocks,) = summed_at
    assert 0 < len(blocks.rows) < 10
    assert blocks.rows.max() <= 2
    assert blocks.columns.max() <= 3


def test_where_less_is_added_than_the_highest_is_ahead_the_class_stays(monkeypatch):
    ramp = np.linspace(0, 10, 37, dtype=np.float32) * np.ones((24, 1), np.float32)
    base = np.stack([ramp, ramp - 1])  # alike within every block, yet one is ahead at every pixel
    layers, written = Layers(base).plus(np.full((2, 7, 11), 0.0, np.float32)), []
    layers.added[0, :, :5] = -0.9
    monkeypatch.setattr(Blocks, "write_highest", lambda self, *given, **of: written.append(self))
    assert not layers.highest().any()
    assert not written
    layers.added[0, :2, :2] = -1.1
    layers.highest()
    assert max(blocks.columns.max() for blocks in written) <= 2


def test_the_highest_class_of_the_base_does_not_stay_where_it_alone_is_lowered():
    ramp = np.linspace(0, 10, 37, dtype=np.float32) * np.ones((24, 1), np.float32)
    layers = Layers(np.stack([ramp + 3, ramp, 0.1 - ramp])).plus(np.zeros((3, 7, 11), np.float32))
    layers.added[0] = -100
    expected = summed(layers).argmax(0)
    assert set(np.unique(expected)) == {1, 2}
    assert np.array_equal(layers.highest(), expected)


def test_a_block_is_a_part_of_the_sum():
    layers = made(1.0)
    block = layers.block(slice(5, 9), (3, 0))
    assert np.allclose(block, summed(layers)[[3, 0], 5:9], atol=1e-5)
    assert np.allclose(layers.sum(), summed(layers), atol=1e-5)
