import numpy as np
import pytest

from segcode.errors import ConfigError
from segcode.geometry import Camera


def test_a_point_on_the_optical_axis_is_at_the_principal_point() -> None:
    camera = Camera(focal_x=50.0, focal_y=55.0, centre_x=19.5, centre_y=14.5)
    assert camera.project(np.array([0.0, 0.0, 3.0])).tolist() == [19.5, 14.5]


def test_points_are_projected_by_the_camera_matrix() -> None:
    camera = Camera(focal_x=50.0, focal_y=55.0, centre_x=19.5, centre_y=14.5)
    matrix = np.array([[50, 0, 19.5], [0, 55, 14.5], [0, 0, 1]])
    points = np.random.default_rng(0).uniform([-5, -5, 0.1], [5, 5, 100], (40, 3))
    homogeneous = points @ matrix.T
    np.testing.assert_allclose(camera.project(points), homogeneous[:, :2] / homogeneous[:, 2:])


def test_a_focal_length_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="positive"):
        Camera(0.0, 50.0, 0.0, 0.0)
