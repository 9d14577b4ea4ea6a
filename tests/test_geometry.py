import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcode.errors import ConfigError, DataError
from segcode.geometry import Camera, Pose, View, correspond, warp

CAMERA = Camera(focal_x=50.0, focal_y=55.0, centre_x=19.5, centre_y=14.5)
AT_ORIGIN = Pose(np.eye(3), np.zeros(3))
pixel = st.floats(-500, 500)


def turned(angle: float, position: tuple[float, float, float]) -> Pose:
    """A camera turned to the right about the vertical."""
    c, s = np.cos(angle), np.sin(angle)
    return Pose(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.array(position))


def wall(distance: float, pose: Pose = AT_ORIGIN) -> View:
    return View(np.full((30, 40), distance), CAMERA, pose)


@given(x=pixel, y=pixel, depth=st.floats(0.1, 1000))
def test_project_inverts_unproject(x: float, y: float, depth: float) -> None:
    points = CAMERA.unproject(np.array([[x, y]]), np.array([depth]))
    np.testing.assert_allclose(CAMERA.project(points), [[x, y]], atol=1e-6)


@given(angle=st.floats(-3, 3), point=st.tuples(pixel, pixel, pixel), position=st.tuples(pixel, pixel, pixel))
def test_to_camera_inverts_to_world(
    angle: float, point: tuple[float, ...], position: tuple[float, float, float]
) -> None:
    pose = turned(angle, position)
    np.testing.assert_allclose(pose.to_camera(pose.to_world(np.array(point))), point, atol=1e-6)


@given(factor=st.floats(0.1, 8), x=pixel, y=pixel)
def test_scaled_camera_scales_pixels_about_the_image_corner(factor: float, x: float, y: float) -> None:
    point = CAMERA.unproject(np.array([x, y]), np.array(2.0))
    expected = (np.array([x, y]) + 0.5) * factor - 0.5
    np.testing.assert_allclose(CAMERA.scaled(factor).project(point), expected, atol=1e-6)


def test_a_view_corresponds_to_itself() -> None:
    match = correspond(wall(5.0), wall(5.0))
    rows, columns = np.indices((30, 40))
    assert match.visible.all()
    np.testing.assert_array_equal(match.rows, rows)
    np.testing.assert_array_equal(match.columns, columns)


def test_a_step_to_the_right_moves_a_wall_to_the_left() -> None:
    # focal 50 px, wall at 5 m: 1 m is 10 px
    stepped = wall(5.0, Pose(np.eye(3), np.array([1.0, 0.0, 0.0])))
    columns = np.tile(np.arange(40), (30, 1))
    warped = warp(columns, source=wall(5.0), target=stepped, fill=-1)
    np.testing.assert_array_equal(warped[:, :30], columns[:, 10:])
    assert (warped[:, 30:] == -1).all()


def test_a_point_behind_something_is_not_visible() -> None:
    hidden = correspond(wall(5.0), wall(2.0))
    assert not hidden.visible.any()


def test_a_camera_that_looks_back_sees_nothing() -> None:
    back = wall(5.0, turned(np.pi, (0.0, 0.0, 0.0)))
    assert not correspond(wall(5.0), back).visible.any()


def test_views_may_differ_in_size_and_values_may_have_channels() -> None:
    small = View(np.full((15, 20), 5.0), CAMERA.scaled(0.5), AT_ORIGIN)
    warped = warp(np.ones((30, 40, 3), np.uint8), source=wall(5.0), target=small)
    assert warped.shape == (15, 20, 3)
    assert warped.all()


def test_values_of_another_size_name_both_sizes() -> None:
    with pytest.raises(DataError, match=r"10 x 12 .* 30 x 40"):
        warp(np.zeros((10, 12)), wall(5.0), wall(5.0))


def test_a_focal_length_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="positive"):
        Camera(0.0, 50.0, 0.0, 0.0)
