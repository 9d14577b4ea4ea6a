from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import pytest

from segcode.classes import CAMVID
from segcode.errors import ConfigError
from segcode.sample import Sample, Source
from segcode.streets.plan import Draw
from segcode.streets.scene import build_scene
from segcode.streets.streets import Streets, draw_camera, random_numbers
from segcode.streets.surfaces import Camera
from segcode.tensors import IGNORE

ROAD, SIDEWALK = CAMVID.index("road"), CAMVID.index("sidewalk")


@lru_cache
def scenes() -> tuple[Sample, ...]:
    source = Streets(60, seed=3, height=120, width=160)
    return tuple(source[index] for index in range(len(source)))


def labels(sample: Sample) -> np.ndarray:
    assert sample.labels is not None
    return sample.labels


def depth_of(sample: Sample) -> np.ndarray:
    assert sample.depth is not None
    return sample.depth


def camera_of(source: Streets, index: int) -> Camera:
    plan = build_scene(random_numbers(source.seed, index, 0)).plan
    return draw_camera(plan, Draw(random_numbers(source.seed, index, 1)), source.height, source.width)


def points(sample: Sample, camera: Camera) -> np.ndarray:
    """The point in the world that each pixel shows, (H, W, 3) in metres."""
    right, down = camera.rays()
    rays = np.stack([*np.meshgrid(right, down), np.ones((camera.height, camera.width))], axis=-1)
    return rays * depth_of(sample)[..., None] @ camera.rotation.T + camera.position


def assert_same(a: Sample, b: Sample) -> None:
    assert a.name == b.name
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(labels(a), labels(b))
    np.testing.assert_array_equal(depth_of(a), depth_of(b))


def test_a_sample_depends_on_seed_and_index_only() -> None:
    source = Streets(4, seed=5, height=48, width=64)
    last = source[3]
    assert_same(last, Streets(100, seed=5, height=48, width=64)[3])
    assert_same(last, source[3])


def test_threads_render_the_same() -> None:
    source = Streets(8, height=48, width=64)
    with ThreadPoolExecutor(4) as pool:
        for threaded, alone in zip(
            pool.map(source.__getitem__, range(8)), map(source.__getitem__, range(8)), strict=True
        ):
            assert_same(threaded, alone)


def test_seeds_and_samples_differ() -> None:
    images = [Streets(2, seed, 48, 64)[index].image for seed in (0, 1) for index in (0, 1)]
    assert len({image.tobytes() for image in images}) == 4


def test_labels_are_classes_of_camvid() -> None:
    assert Streets(1).classes is CAMVID
    for sample in scenes():
        assert set(np.unique(labels(sample))) <= {*range(len(CAMVID)), IGNORE}


def test_every_class_occurs() -> None:
    seen = set(np.unique(np.stack([labels(sample) for sample in scenes()])))
    assert seen >= set(range(len(CAMVID)))


def test_most_of_an_image_is_street() -> None:
    share = np.mean([np.isin(labels(sample), (ROAD, SIDEWALK)).mean() for sample in scenes()])
    assert 0.25 < share < 0.65


def test_depth_is_positive_finite_and_1000_in_the_sky() -> None:
    for sample in scenes():
        depth, sky = depth_of(sample), labels(sample) == CAMVID.index("sky")
        assert np.isfinite(depth).all()
        assert (depth > 0).all()
        np.testing.assert_allclose(depth[sky], 1000, rtol=1e-4)
        assert (depth[~sky] < 1000).all()


def test_the_road_lies_on_the_ground() -> None:
    source = Streets(60, seed=3, height=120, width=160)
    for index, sample in enumerate(scenes()[:5]):
        np.testing.assert_allclose(points(sample, camera_of(source, index))[labels(sample) == ROAD][:, 1], 0, atol=0.02)


def test_road_and_sidewalk_look_alike_in_some_scenes_and_differ_in_others() -> None:
    distances = []
    for sample in scenes():
        road, sidewalk = labels(sample) == ROAD, labels(sample) == SIDEWALK
        if road.any() and sidewalk.any():
            distances.append(np.linalg.norm(sample.image[road].mean(axis=0) - sample.image[sidewalk].mean(axis=0)))
    assert 0.15 < np.mean(np.array(distances) < 15) < 0.85


def test_names_are_known_without_rendering() -> None:
    source: Source = Streets(3)
    assert source.names == ("street_000000", "street_000001", "street_000002")
    assert len(source) == 3
    assert source[2].name == "street_000002"


@pytest.mark.parametrize(("height", "width"), [(16, 16), (33, 97), (360, 480)])
def test_any_size_renders(height: int, width: int) -> None:
    sample = Streets(1, 1, height, width)[0]
    assert sample.image.shape == (height, width, 3)
    assert sample.image.dtype == np.uint8
    assert labels(sample).shape == depth_of(sample).shape == (height, width)


def test_the_size_changes_the_resolution_and_not_the_scene() -> None:
    small, large = Streets(1, 2, 60, 80)[0], Streets(1, 2)[0]
    assert (labels(large)[2::4, 2::4] == labels(small)).mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": -1}, "-1.* 0 or more"),
        ({"count": 1, "seed": -4}, "-4.*from 0 up"),
        ({"count": 1, "height": 4}, "4 x 320.*16 pixels"),
    ],
)
def test_a_bad_argument_names_the_value_and_the_cure(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Streets(**arguments)


@pytest.mark.parametrize("index", [3, -1])
def test_an_index_beyond_the_samples_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match="3"):
        Streets(3)[index]
