import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pictures import ids, noise

from segcode.data.resize import resize_image, resize_labels

SIDE = st.integers(1, 20)


def test_the_same_size_changes_nothing() -> None:
    image, labels = noise(0), ids(0, [1, 255])
    assert np.array_equal(resize_image(image, *image.shape[:2]), image)
    assert np.array_equal(resize_labels(labels, *labels.shape), labels)


@given(SIDE, SIDE, SIDE, SIDE)
def test_any_size_becomes_any_size_without_new_labels(height: int, width: int, new_height: int, new_width: int) -> None:
    image, labels = noise(0, height, width), ids(0, [0, 3, 255], height, width)
    assert resize_image(image, new_height, new_width).shape == (new_height, new_width, 3)
    resized = resize_labels(labels, new_height, new_width)
    assert resized.shape == (new_height, new_width)
    assert set(np.unique(resized)) <= set(np.unique(labels))


def test_a_fine_pattern_shrinks_to_its_mean() -> None:
    stripes = np.zeros((16, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.ptp(resize_image(stripes, 4, 8)[:, 1:-1].astype(int)) <= 2


def test_image_and_labels_stay_on_top_of_each_other() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 15:45] = 200
    image = np.repeat(labels[..., None], 3, axis=2)
    small = resize_image(image, 8, 12)[..., 0]
    assert np.array_equal(small > 100, resize_labels(labels, 8, 12) > 100)
