from __future__ import annotations

import numpy as np
import pytest
import torch
from dense_guide import upsampled
from scipy.special import softmax

from segcode.refinement import result
from segcode.refinement.guide import Guide
from segcode.refinement.layers import Layers
from segcode.refinement.result import SegmentationMap, Status
from segcode.truth.truth import Truth

GRID = (9, 13)


def made(size: tuple[int, int], classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits on the grid, and an image of regions with some noise."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 200, (3, 4, 3))
    rows, columns = (np.arange(side) * few // side for side, few in zip(size, (3, 4), strict=True))
    image = coarse[rows][:, columns] + draw.integers(0, 40, (*size, 3))
    return draw.standard_normal((classes, *GRID)).astype(np.float32) * 3, image.astype(np.uint8)


def map_of(logits: np.ndarray, image: np.ndarray) -> SegmentationMap:
    layers = Layers(logits)
    truth = Truth.empty(image.shape[:2], len(logits))
    return SegmentationMap(layers, truth, Status(0, 0, True), guide=Guide.of(image, layers.grid))


@pytest.mark.parametrize("size", [(40, 31), (31, 200), (18, 26), (100, 13), (9, 90)])
def test_labels_and_probabilities_are_those_of_the_weighted_mean_of_four_cells(size):
    logits, image = made(size)
    expected, found = upsampled(logits, image), map_of(logits, image)
    assert found.probabilities() == pytest.approx(softmax(expected, 0), abs=1e-4)
    second, best = np.sort(expected, axis=0)[-2:]
    assert (found.labels == expected.argmax(0))[best - second > 1e-4].all()


@pytest.mark.parametrize("band", [1, 100, 10**6])
def test_bands_of_any_height_give_the_same_map(monkeypatch, band):
    logits, image = made((50, 61))
    whole = map_of(logits, image)
    probabilities, entropy = whole.probabilities(), whole.entropy()
    for module in (
        result,
        *(__import__(f"segcode.refinement.{name}", fromlist=[name]) for name in ("layers", "labelling")),
    ):
        for name in ("_BAND", "_NUMBERS", "_PIXELS"):
            monkeypatch.setattr(module, name, band, raising=False)
    assert np.array_equal(map_of(logits, image).labels, whole.labels)
    assert map_of(logits, image).probabilities() == pytest.approx(probabilities, abs=1e-6)
    assert map_of(logits, image).entropy() == pytest.approx(entropy, abs=1e-6)


def test_an_image_of_one_colour_guides_to_nothing():
    logits, _ = made((40, 52))
    plain = torch.nn.functional.interpolate(torch.from_numpy(logits)[None], (40, 52), mode="bilinear")[0]
    assert map_of(logits, np.full((40, 52, 3), 90, np.uint8)).probabilities() == pytest.approx(
        plain.softmax(0).numpy(), abs=1e-5
    )


def test_a_class_ends_at_the_edge_of_the_image_and_not_between_cells():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 13:] = 200
    logits = np.zeros((2, 4, 4), np.float32)
    logits[0, :, :2] = logits[1, :, 2:] = 4  # the cells change at column 16
    labels = map_of(logits, image).labels
    assert (labels == (image[..., 0] > 0)).all()
    bilinear = SegmentationMap(Layers(logits), Truth.empty((32, 32), 2), Status(0, 0, True)).labels
    assert not (bilinear == labels).all()


def test_there_is_no_guide_where_the_cells_are_no_larger_than_pixels():
    image = np.zeros((8, 8, 3), np.uint8)
    assert Guide.of(image, (8, 8)) is None
    assert Guide.of(image, (16, 9)) is None
    assert Guide.of(image, (16, 7)) is not None
