from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcode.data.augment import Augment, AugmentConfig
from segcode.errors import ConfigError
from segcode.tensors import IGNORE

STILL = {"flip": 0.0, "scale": (1.0, 1.0), "aspect": 0.0}
OFF = AugmentConfig(**STILL, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
GEOMETRY = replace(OFF, flip=0.5, scale=(1.0, 2.0), aspect=0.1)
COLOUR = AugmentConfig(**STILL)

FRACTION = st.floats(0, 0.9)
CONFIGS = st.builds(
    AugmentConfig,
    flip=FRACTION,
    scale=st.tuples(st.floats(0.3, 1), st.floats(1, 3)),
    aspect=FRACTION,
    rotation=st.floats(0, 20),
    brightness=FRACTION,
    contrast=FRACTION,
    saturation=FRACTION,
    hue=st.floats(0, 0.5),
    light=FRACTION,
)


def batch(height: int = 24, width: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 11, (4, height, width), generator=generator)
    labels[:, 0] = IGNORE
    return torch.rand(4, 3, height, width, generator=generator), labels


def ramps(height: int = 72, width: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that are as bright as their labels are high, which rise from left to right or top to bottom."""
    across = torch.arange(width).expand(4, height, width)
    down = torch.arange(height)[:, None].expand(4, height, width)
    labels = torch.cat([across, down])
    return (labels[:, None] / 255).repeat(1, 3, 1, 1), labels


@settings(max_examples=30, deadline=None)
@given(CONFIGS, st.integers(0, 1000))
def test_any_config_keeps_shapes_ranges_and_labels(config: AugmentConfig, seed: int) -> None:
    images, labels = batch()
    torch.manual_seed(seed)
    changed = Augment(config)(images, labels)
    assert changed.images.shape == images.shape
    assert changed.labels.shape == labels.shape
    assert changed.labels.dtype == labels.dtype
    assert changed.images.min() >= -1e-6
    assert changed.images.max() <= 1 + 1e-6
    assert set(changed.labels.unique().tolist()) <= {*labels.unique().tolist(), IGNORE}


def test_all_off_is_the_identity() -> None:
    images, labels = batch()
    changed = Augment(OFF)(images, labels)
    assert changed.images is images
    assert changed.labels is labels


def test_the_seed_decides() -> None:
    augment = Augment(AugmentConfig(rotation=5.0))
    torch.manual_seed(1)
    first, other = augment(*batch()), augment(*batch())
    torch.manual_seed(1)
    again = augment(*batch())
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)


def test_each_image_of_a_batch_changes_in_its_own_way() -> None:
    images, labels = batch()
    changed = Augment(AugmentConfig())(images[:1].repeat(4, 1, 1, 1), labels[:1].repeat(4, 1, 1))
    assert not torch.equal(changed.images[0], changed.images[1])
    assert not torch.equal(changed.labels[0], changed.labels[1])


@pytest.mark.parametrize("seed", range(5))
def test_image_and_labels_move_together(seed: int) -> None:
    torch.manual_seed(seed)
    images, labels = Augment(replace(GEOMETRY, scale=(1.2, 2.0)))(*ramps())
    assert (images[:, 0] * 255 - labels).abs().max() < 0.75  # half a pixel of rounding, and the image's blur


@pytest.mark.parametrize("seed", range(5))
def test_image_and_labels_turn_together(seed: int) -> None:
    torch.manual_seed(seed)
    images, labels = Augment(replace(GEOMETRY, rotation=10.0))(*ramps())
    apart = (images[:, 0] * 255 - labels)[labels != IGNORE].abs()
    assert apart.quantile(0.97) < 1.25  # the image darkens within a pixel of its edge


def test_void_and_black_come_in_from_outside() -> None:
    torch.manual_seed(0)
    images, labels = Augment(replace(OFF, rotation=20.0))(torch.ones(4, 3, 24, 32), torch.zeros(4, 24, 32).long())
    assert (labels == IGNORE).any()
    assert images[:, 0][labels == IGNORE].max() <= 0.75  # the last void pixel blends with its neighbours
    assert images[:, 0][labels == 0].min() >= 0.25


def test_labels_may_be_bytes() -> None:
    images, labels = batch()
    torch.manual_seed(0)
    changed = Augment(replace(GEOMETRY, rotation=10.0))(images, labels.byte()).labels
    torch.manual_seed(0)
    assert torch.equal(changed.long(), Augment(replace(GEOMETRY, rotation=10.0))(images, labels).labels)


def test_a_certain_flip_mirrors_left_and_right() -> None:
    images, labels = batch()
    changed = Augment(replace(OFF, flip=1.0))(images, labels)
    assert torch.allclose(changed.images, images.flip(-1), atol=1e-5)
    assert torch.equal(changed.labels, labels.flip(-1))


def test_an_image_is_enlarged_by_a_factor_within_the_scale_and_cut_anywhere() -> None:
    torch.manual_seed(0)
    augment, (images, labels) = Augment(replace(OFF, scale=(1.0, 2.0))), ramps()
    changed = [augment(images, labels).labels[:4] for _ in range(20)]
    spans = torch.stack([image.max() - image.min() for batch in changed for image in batch])
    assert 96 / 2 - 2 <= spans.min() < 96 / 2 + 8
    assert 96 - 12 < spans.max() <= 95
    assert spans.float().median() == pytest.approx(96 / 2**0.5, abs=8)
    assert min(image.min() for batch in changed for image in batch) < 4
    assert max(image.max() for batch in changed for image in batch) > 91


def test_a_smaller_image_lies_whole_within_void() -> None:
    torch.manual_seed(0)
    _, labels = Augment(replace(OFF, scale=(0.5, 0.5)))(*ramps())
    known = labels != IGNORE
    assert (known.sum((1, 2)) == 72 * 96 / 4).all()
    assert len({tuple(image.nonzero()[0].tolist()) for image in known}) > 4
    assert all(image[mask].max() - image[mask].min() >= 68 for image, mask in zip(labels, known, strict=True))


def test_the_smaller_factor_comes_first() -> None:
    with pytest.raises(ConfigError, match="give the smaller factor first"):
        AugmentConfig(scale=(2.0, 0.5))


def test_colour_changes_the_image_and_no_label() -> None:
    images, labels = batch()
    changed = Augment(COLOUR)(images, labels)
    assert torch.equal(changed.labels, labels)
    assert not torch.equal(changed.images, images)


def test_light_changes_images_as_a_whole_and_parts_of_some() -> None:
    images, labels = torch.full((8, 3, 24, 32), 0.5), torch.zeros(8, 24, 32, dtype=torch.long)
    torch.manual_seed(0)
    assert (Augment(replace(COLOUR, hue=0.0))(images, labels).images.flatten(2).std(2) < 1e-6).all()
    changed = Augment(replace(OFF, light=1.0))(images, labels)
    assert torch.equal(changed.labels, labels)
    assert ((changed.images - 0.5).abs().mean((1, 2, 3)) > 0.005).all()
    assert 2 <= (changed.images.flatten(2).std(2) > 0.01).any(1).sum() < 8


def test_an_image_of_one_pixel_survives() -> None:
    changed = Augment(AugmentConfig(rotation=3.0))(torch.rand(1, 3, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long))
    assert changed.images.shape == (1, 3, 1, 1)
    assert changed.images.isfinite().all()


def test_a_crop_is_a_part_of_the_image_at_the_scale_of_the_image() -> None:
    augment, (images, labels) = Augment(replace(OFF, crop=(24, 48))), ramps()
    torch.manual_seed(0)
    for _ in range(10):
        changed, moved = augment(images, labels)
        assert changed.shape[2:] == moved.shape[1:] == (24, 48)
        across, down = moved[0, 0], moved[-1, :, 0]
        assert torch.equal(across, across[0] + torch.arange(48))
        assert torch.equal(down, down[0] + torch.arange(24))
        assert torch.allclose(changed[0, 0, 0] * 255, across.float(), atol=0.6)
