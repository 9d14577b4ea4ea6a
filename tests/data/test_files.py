import os
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import noise, save

from segcode.data.files import by_name, find_images, name_of, natural_order, output_names, pictures_below
from segcode.data.images import read_image
from segcode.errors import DataError
from segcode.export.picture import write_picture


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


def test_brackets_in_folders_are_part_of_their_names(tmp_path: Path) -> None:
    first = save(tmp_path / "site [north]" / "frame1.png", noise(0))
    second = save(tmp_path / "site [north]" / "frame2.png", noise(0))
    assert find_images([tmp_path / "site [north]" / "*.png"]) == [first, second]
    assert find_images([tmp_path / "site [north]" / "frame[12].png"]) == [first, second]


def test_a_pattern_takes_brackets_both_ways(tmp_path: Path) -> None:
    paths = [save(tmp_path / "run" / name, noise(0)) for name in ("a[1].png", "a1.png")]
    assert set(find_images([tmp_path / "r*" / "a[1].png"])) == set(paths)


def test_hidden_files_and_folders_are_no_images(tmp_path: Path) -> None:
    shown = save(tmp_path / "a.png", noise(0))
    for name in ("._a.png", ".ipynb_checkpoints/a-checkpoint.png", "deep/._b.png"):
        save(tmp_path / name, noise(0))
    assert find_images([tmp_path]) == find_images([tmp_path / "**" / "*.png"]) == [shown]


def test_pictures_that_segcode_made_are_found_only_by_their_names(tmp_path: Path) -> None:
    image, result = save(tmp_path / "a.png", noise(0)), tmp_path / "a_overlay.png"
    write_picture(result, noise(1))
    write_picture(tmp_path / "work" / "labels" / "a.png", noise(1))
    assert find_images([tmp_path]) == find_images([tmp_path / "**" / "*.png"]) == [image]
    assert find_images([result]) == [result]
    with pytest.raises(DataError, match=r"has no images but what segcode made \(a\.png\): give photographs"):
        find_images([tmp_path / "work" / "labels"])


def test_one_image_that_is_named_in_two_ways_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", noise(0))
    monkeypatch.chdir(tmp_path)
    assert len(find_images([path, "a.png", "../" + tmp_path.name + "/a.png", "*.png"])) == 1


LETTERS = st.text(st.characters(exclude_characters="/\0\\", codec="utf-8"), min_size=1, max_size=30).filter(
    lambda stem: stem.strip(".")
)


@given(stem=LETTERS, ending=st.sampled_from(["png", "PNG", "Jpg", "tiff"]))
def test_an_image_and_its_labels_have_one_name_however_it_is_written(stem: str, ending: str) -> None:
    names = {name_of(Path(f"x/{normalize(form, stem)}.{end}")) for form in ("NFC", "NFD") for end in (ending, "png")}
    assert names == {normalize("NFC", stem)}


@given(st.lists(LETTERS, min_size=2, max_size=2, unique_by=lambda name: normalize("NFC", name)))
def test_different_names_stay_different(stems: list[str]) -> None:
    paths = [Path(f"/x/{stem}.png") for stem in stems]
    assert list(output_names(paths).files.values()) == paths


def test_a_name_of_dots_alone_is_no_folder() -> None:
    assert list(output_names([Path("/x/..png"), Path("/x/...png")]).files) == ["..png", "...png"]


def test_a_dot_in_a_name_is_no_ending() -> None:
    names = output_names([Path("cam.front.0001.png"), Path("cam.front.0002.JPG"), Path("v1.5")])
    assert list(names.files) == ["cam.front.0001", "cam.front.0002", "v1.5"]


@pytest.mark.parametrize(
    "paths", [("x/ü.png", "x/u\u0308.png"), ("x/ü.png", "x/ü.jpg"), ("x/ü/a.png", "x/u\u0308/a.png")]
)
def test_of_files_that_share_a_name_none_is_taken(paths: tuple[str, ...]) -> None:
    for one_name in (by_name(map(Path, paths)), output_names([*map(Path, paths), Path("x/other/b.png")])):
        ((name, problem),) = one_name.problems.items()
        assert problem == f"{paths[0]} and {paths[1]} have one name, '{name}': rename or remove all but one"
        assert not set(map(Path, paths)) & set(one_name.files.values())


def test_a_link_to_a_file_that_is_gone_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    for name, target in (("gone.png", "nowhere.png"), ("loop.png", "loop.png"), ("folder.png", ".")):
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "pipe.png")
    found = find_images([tmp_path])
    assert [path.name for path in found] == ["gone.png", "loop.png"]
    for path in found:
        with pytest.raises(DataError, match=f"{path.name} is missing"):
            read_image(path)


def test_links_that_lead_back_are_not_followed_and_others_are(tmp_path: Path) -> None:
    save(tmp_path / "run/a.png", noise(0))
    save(tmp_path / "elsewhere/deep/b.png", noise(0))
    (tmp_path / "run/back").symlink_to(".")
    (tmp_path / "run/up").symlink_to(tmp_path)
    (tmp_path / "run/day1").symlink_to(tmp_path / "elsewhere")
    names = {"a", "day1/deep/b"}
    assert set(output_names(find_images([tmp_path / "run/**/*.png"])).files) == names
    assert set(pictures_below(tmp_path / "run").files) == names


def test_pictures_below_a_folder_are_found_by_their_folders_and_names(tmp_path: Path) -> None:
    for name in ("a.b.PNG", "Su\u0308d/c.tif", ".hidden/d.png", "e.txt"):
        save(tmp_path / name.replace(".txt", ".png"), noise(0, 2, 2))
    (tmp_path / "e.png").rename(tmp_path / "e.txt")
    assert set(pictures_below(tmp_path).files) == {"a.b", "Süd/c"}
    assert pictures_below(tmp_path / "nowhere").files == {}
