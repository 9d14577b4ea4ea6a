import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import ids, noise, save, truncate
from PIL import Image as Pillow

from segcode.data.files import find_images, natural_order, read_colour_labels, read_index_labels
from segcode.data.images import read_image
from segcode.errors import DataError
from segcode.tensors import IGNORE

ORIENTATION = 0x0112
IDS = {0: 0, 7: 1, 11: IGNORE}


def test_an_image_is_read_as_it_was_saved(tmp_path: Path) -> None:
    pixels = noise(0)
    assert np.array_equal(read_image(save(tmp_path / "a.png", pixels)), pixels)


def test_an_image_of_one_pixel_is_read(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "a.png", noise(0, 1, 1))).shape == (1, 1, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_an_image_of_any_8_bit_mode_is_read_as_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Pillow.fromarray(noise(0)).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (6, 8, 3)
    assert image.dtype == np.uint8


def test_an_image_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    pixels = noise(0)
    exif = Pillow.Exif()
    exif[ORIENTATION] = 6  # a quarter turn
    Pillow.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(pixels, -1))


def test_an_image_of_16_bits_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((2, 2), 1000, np.uint16))
    with pytest.raises(DataError, match=r"a\.png has more than 8 bits .* save it as 8-bit RGB"):
        read_image(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png is missing: check the path"):
        read_image(tmp_path / "a.png")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    truncate(save(tmp_path / "a.png", noise(0, 40, 40)))
    with pytest.raises(DataError, match=r"a\.png is damaged .* copy or download it again"):
        read_image(tmp_path / "a.png")


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"a\.png is no image"):
        read_image(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(data=st.data(), suffix=st.sampled_from(["png", "jpeg", "bmp", "tiff", "webp"]))
def test_damage_anywhere_gives_an_image_or_a_data_error(
    data: st.DataObject, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    saved = io.BytesIO()
    exif = Pillow.Exif()
    exif[ORIENTATION] = 6
    Pillow.fromarray(noise(0)).save(saved, suffix, exif=exif)
    content = bytearray(saved.getvalue())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(DataError):
        assert read_image(path).ndim == 3


def test_index_labels_become_train_ids(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 7, 11]], np.uint8))
    assert read_index_labels(path, IDS).tolist() == [[0, 1, IGNORE]]


def test_the_palette_of_index_labels_does_not_matter(tmp_path: Path) -> None:
    labels = ids(0, [0, 7, 11])
    picture = Pillow.fromarray(labels)
    picture.putpalette(noise(1, 16, 16).ravel().tolist())
    picture.save(tmp_path / "palette.png")
    assert Pillow.open(tmp_path / "palette.png").mode == "P"
    plain = read_index_labels(save(tmp_path / "plain.png", labels), IDS)
    assert np.array_equal(read_index_labels(tmp_path / "palette.png", IDS), plain)


def test_unknown_ids_are_all_listed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 3, 250]], np.uint8))
    with pytest.raises(DataError, match=r"a\.png has the ids 3, 250, .* \(those are 0, 7, 11\)"):
        read_index_labels(path, IDS)


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (noise(0), "RGB"),
        (np.zeros((2, 2, 4), np.uint8), "RGBA"),
        (np.zeros((2, 2), np.uint16), "I;16"),
        (np.zeros((2, 2), bool), "1"),
    ],
)
def test_labels_of_other_modes_are_refused_with_the_cure(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    with pytest.raises(DataError, match=rf"a\.png has pixels of mode {mode}: .* greyscale \(L\) or palette \(P\) PNG"):
        read_index_labels(save(tmp_path / "a.png", pixels), IDS)


def test_an_unknown_colour_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[[1, 2, 3], [128, 0, 0]]], np.uint8))
    with pytest.raises(DataError, match=r"a\.png has 1 colours of no class, first \(1, 2, 3\)"):
        read_colour_labels(path, {(128, 0, 0): 1})


def test_images_come_in_natural_order_and_once(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"frame{number}.png", noise(0)) for number in (10, 9, 100)]
    (tmp_path / "notes.txt").touch()
    found = find_images([tmp_path, str(tmp_path / "frame*"), paths[0]])
    assert [path.name for path in found] == ["frame9.png", "frame10.png", "frame100.png"]


def test_a_folder_gives_only_what_is_directly_in_it_and_a_pattern_more(tmp_path: Path) -> None:
    direct, deep = save(tmp_path / "a.png", noise(0)), save(tmp_path / "deep" / "b.PNG", noise(0))
    assert find_images([tmp_path]) == [direct]
    assert find_images([tmp_path / "**" / "*"]) == [direct, deep]


def test_a_pattern_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", noise(0))
    monkeypatch.chdir(tmp_path)
    assert find_images(["*.png"]) == [Path("a.png")]
    assert find_images(["**a.png"]) == [Path("a.png")]


def test_a_file_whose_name_looks_like_a_pattern_is_taken_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "a[1].png", noise(0))
    assert find_images([path]) == [path]


def test_arguments_without_images_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no images in it"):
        find_images([tmp_path])
    with pytest.raises(DataError, match=r"nothing\*\.png is no file, folder or matching pattern"):
        find_images([tmp_path / "nothing*.png"])


@given(st.sets(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1)))
def test_any_names_have_an_order(names: set[str]) -> None:
    paths = [Path(name) for name in names]
    assert natural_order(paths) == natural_order(reversed(paths))


@given(st.lists(st.integers(0, 2000), unique=True))
def test_natural_order_is_the_order_of_the_numbers(numbers: list[int]) -> None:
    paths = [Path(f"street_{number}.png") for number in numbers]
    assert natural_order(paths) == [Path(f"street_{number}.png") for number in sorted(numbers)]
