from dataclasses import replace

import numpy as np
import pytest

from segcode.field.grid import Grid
from segcode.refinement.borders import along_outlines
from segcode.refinement.layers import Layers
from segcode.refinement.observations import region_of_cells
from segcode.refinement.result import SegmentationMap, Status
from segcode.truth.mask import mask_truth
from segcode.truth.scribble import box_truth, point_truth
from segcode.truth.truth import Truth

SIZE = (24, 32)
GRID = Grid.over(SIZE)


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def field_of_sides(truth) -> np.ndarray:
    """3 for class 1 in the cells of the region, -2 outside."""
    inside = region_of_cells(truth, GRID) > 0
    return np.stack([np.zeros(len(inside)), np.where(inside, 3.0, -2.0)], axis=1)


def test_without_an_outline_there_are_no_borders():
    truth = point_truth([(3, 3)], 1, 2, SIZE)
    assert along_outlines([np.zeros((2, 6, 8), np.float32)], np.zeros((len(GRID), 2)), truth, GRID) is None


def test_each_pixel_along_an_outline_has_the_field_of_its_own_side():
    mask = box(5, 7, 18, 23)  # between the edges of cells
    truth = mask_truth(mask, 1, 2, "outline")
    rest = np.arange(2 * 12 * 16, dtype=np.float32).reshape(2, 12, 16) % 7
    borders = along_outlines([rest], field_of_sides(truth), truth, GRID)
    below = along_outlines([rest], np.zeros((len(GRID), 2)), truth, GRID)
    assert (borders.pixels == below.pixels).all()
    rows, columns = borders.pixels.T
    assert borders.logits[:, 1] - below.logits[:, 1] == pytest.approx(np.where(mask[rows, columns], 3.0, -2.0))
    assert borders.logits[:, 0] == pytest.approx(below.logits[:, 0])


def test_the_borders_are_the_pixels_within_a_cell_of_an_outline():
    mask = box(5, 7, 18, 23)
    truth = mask_truth(mask, 1, 2, "exhaustive")
    near = np.zeros(SIZE, bool)
    near[tuple(along_outlines([np.zeros((2, 6, 8), np.float32)], field_of_sides(truth), truth, GRID).pixels.T)] = True
    assert near[5, 7:23].all()
    assert near[4, 7:23].all()
    assert not near[10:14, 12:18].any()
    assert not near[:, 28:].any()


def test_a_region_thinner_than_a_cell_keeps_the_mean_of_the_cells_around():
    truth = box_truth(((0, 4), (24, 5)), 1, 2, SIZE)  # a column of pixels in which no cell has its centre
    assert not region_of_cells(truth, GRID).any()
    borders = along_outlines([np.zeros((2, 6, 8), np.float32)], field_of_sides(truth), truth, GRID)
    assert (borders.pixels[:, 1] == 4).any()
    assert borders.logits[:, 1] == pytest.approx(-2.0)


def refined_box():
    """A map whose logits are equal but for the field of a box that ends between cells."""
    mask = box(5, 7, 18, 23)
    truth = mask_truth(mask, 1, 2, "outline")
    rest, field = np.zeros((2, 6, 8), np.float32), field_of_sides(truth)
    borders = along_outlines([rest], field, truth, GRID)
    logits = rest + field.T.astype(np.float32).reshape(rest.shape)
    return mask, SegmentationMap(Layers(logits), truth, Status(0, 0, True), borders=borders)


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_a_map_of_any_size_ends_at_the_outline(scale):
    mask, result = refined_box()
    labels = result.unpasted(np.zeros((scale * SIZE[0], scale * SIZE[1], 3), np.uint8))
    assert (labels == mask.repeat(scale, 0).repeat(scale, 1)).all()


def test_pixels_of_several_allowed_classes_are_decided_by_the_logits_of_their_own_side():
    mask, result = refined_box()
    rows, columns = np.nonzero(mask)
    either = Truth(
        SIZE,
        np.stack([rows, columns], 1),
        np.ones((len(rows), 2), bool),
        np.ones(len(rows)),
        np.zeros(2, bool),
        result.truth.regions,
    )
    assert (replace(result, truth=either).labels == mask).all()
