from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import noise, save

from segcode.data.files import find_images, natural_order
from segcode.errors import DataError


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
