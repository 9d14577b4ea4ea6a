from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segcode.errors import ConfigError
from segcode.evaluation.bootstrap import (
    Interval,
    Paired,
    _times_drawn,
    accuracy_gained,
    check_block,
    error_removed,
    mean_iou_gained,
)
from segcode.metrics import mean_iou

PIXELS = 100_000


def right(counts) -> list[torch.Tensor]:
    """Matrices of two classes with given numbers of right pixels, all others wrong."""
    return [torch.tensor([[int(n), PIXELS - int(n)], [0, 0]]) for n in counts]


def independent(gain: float, noise: float, images: int = 60, block: int = 1) -> Paired:
    """In per cent of the pixels of an image."""
    draw = np.random.default_rng(0)
    before = draw.normal(0.8, 0.05, images) * PIXELS
    return Paired(right(before), right(before + draw.normal(gain, noise, images) / 100 * PIXELS), block)


def video(block: int) -> Paired:
    """Frames in runs of ten that gain the same."""
    gains = np.repeat(np.random.default_rng(0).normal(0.5, 1.0, 12), 10) / 100
    return Paired(right(np.full(120, 0.8 * PIXELS)), right((0.8 + gains) * PIXELS), block)


def width(interval: Interval) -> float:
    return interval.high - interval.low


def test_an_interval_of_the_mean_is_the_textbooks():
    paired = independent(1.0, 2.0)
    found = accuracy_gained(paired)
    gains = np.array([int(b[0, 0] - a[0, 0]) / PIXELS for a, b in zip(paired.before, paired.after, strict=True)])
    half = 1.96 * gains.std(ddof=1) / math.sqrt(len(gains))
    assert found.value == pytest.approx(gains.mean())
    assert found.high - found.value == pytest.approx(half, rel=0.15)
    assert found.value - found.low == pytest.approx(half, rel=0.15)


def test_pairing_finds_what_the_spread_between_images_would_hide():
    assert accuracy_gained(independent(0.5, 0.5)).low > 0
    assert accuracy_gained(independent(0.0, 2.0)).low < 0 < accuracy_gained(independent(0.0, 2.0)).high


def test_neighbours_that_err_alike_are_not_so_many_images():
    """Ten frames that are one: the interval is that of twelve images, as long as they are drawn together."""
    apart, together = accuracy_gained(video(1)), accuracy_gained(video(10))
    assert apart.value == together.value
    assert width(together) == pytest.approx(math.sqrt(10) * width(apart), rel=0.3)


def test_blocks_do_no_harm_where_images_are_independent():
    one, five = (accuracy_gained(independent(1.0, 2.0, images=240, block=block)) for block in (1, 5))
    assert width(five) == pytest.approx(width(one), rel=0.2)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_every_draw_has_as_many_images(block):
    """Also where blocks do not fit evenly."""
    assert (_times_drawn(7, block).sum(1) == 7).all()


@pytest.mark.parametrize(("block", "images"), [(0, 8), (5, 8), (2, 3)])
def test_a_block_is_half_of_the_images_at_most(block, images):
    with pytest.raises(ConfigError, match=f"a block is {block}, and there are {images} images: give 1 to"):
        check_block(block, images)
    check_block(1, 1)
    check_block(4, 8)


def test_too_few_images_for_two_blocks_have_no_interval():
    found = accuracy_gained(Paired(right([80_000] * 3), right([90_000] * 3), block=2))
    assert found.value == pytest.approx(0.1)
    assert math.isnan(found.low)
    assert str(found) == "+10.00"


def test_where_nothing_is_wrong_no_error_is_removed():
    """Nor in those draws in which nothing is wrong."""
    assert str(error_removed(Paired(right([PIXELS] * 3), right([PIXELS] * 3)))) == "-"
    found = error_removed(Paired(right([PIXELS, PIXELS, 80_000]), right([PIXELS, PIXELS, 90_000])))
    assert tuple(found) == pytest.approx((0.5, 0.5, 0.5))


def test_error_removed_is_the_papers():
    road = Paired(right([91_900] * 2), right([92_400] * 2))
    assert tuple(error_removed(road)) == pytest.approx((0.0617, 0.0617, 0.0617), abs=1e-4)


def test_the_mean_iou_is_that_of_the_summed_matrices():
    draw = torch.Generator().manual_seed(0)
    before, after = (list(torch.randint(100, (20, 3, 3), generator=draw)) for _ in range(2))
    found = mean_iou_gained(Paired(before, after))
    assert found.value == pytest.approx(mean_iou(sum(after)) - mean_iou(sum(before)))
    assert found.low < found.value < found.high


def test_one_image_has_a_figure_and_no_interval():
    found = accuracy_gained(Paired(right([80_000]), right([90_000])))
    assert found.value == pytest.approx(0.1)
    assert math.isnan(found.low)
