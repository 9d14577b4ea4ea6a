import numpy as np

from segcode.export.picture import heat, overlay, stacked


def test_heat_grows_with_the_value_and_ends_at_the_highest():
    picture = heat(np.array([[0.0, 0.5, 1.0, 9.0]]), highest=1.0).astype(int).sum(2)[0]
    assert picture[0] < picture[1] < picture[2] == picture[3]
    assert heat(np.zeros((2, 2))).max() < 30


def test_an_overlay_lies_between_image_and_colours():
    image, colours = np.full((1, 1, 3), 100, np.uint8), np.full((1, 1, 3), 200, np.uint8)
    assert overlay(image, colours, 0.0).item(0) == 100
    assert overlay(image, colours, 0.25).item(0) == 125
    assert overlay(image, colours, 1.0).item(0) == 200


def test_a_short_row_ends_in_white():
    black = np.zeros((2, 3, 3), np.uint8)
    sheet = stacked([[black, black], [black]], gap=1)
    assert sheet.shape == (5, 7, 3)
    assert (sheet[3:, 4:] == 255).all()
    assert (sheet == 0).all(2).sum() == 3 * 6
