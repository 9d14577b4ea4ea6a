import os
import subprocess
import sys

import numpy as np
import pytest
from command_line import files_in, read, save, segcode, street

from segcode.data.folder import open_folder
from segcode.streets import Streets


@pytest.fixture
def drawn(tmp_path):
    ran = segcode("data", "draw", "-o", tmp_path / "streets", "-n", 2, "--seed", 5, "--height", 24, "--width", 32)
    assert ran.code == 0, ran.err
    return tmp_path / "streets"


def test_drawn_streets_are_a_data_set(drawn):
    source = open_folder(drawn, "all")
    expected = Streets(2, seed=5, height=24, width=32)
    assert source.names == expected.names
    assert source.classes.names == expected.classes.names
    for i in range(2):
        assert np.array_equal(source[i].image, expected[i].image)
        assert np.array_equal(source[i].labels, expected[i].labels)


def test_depth_is_in_centimetres(drawn):
    depth = Streets(2, seed=5, height=24, width=32)[0].depth
    assert depth is not None
    written = read(drawn / "depth" / "street_000000.png")
    assert written.dtype == np.uint16
    near = depth < 600
    assert np.abs(written[near] / 100 - depth[near]).max() <= 0.006
    assert (written[depth > 655.35] == 65535).all()


def test_a_split_gets_its_own_folder(tmp_path):
    segcode("data", "draw", "-o", tmp_path, "-n", 1, "--height", 16, "--width", 16, "--split", "train")
    names = {f"{folder}/train/street_000000.png" for folder in ("images", "labels", "depth")}
    assert files_in(tmp_path) == {*names, "classes.toml"}


def test_a_sound_data_set_is_0_and_its_classes_are_listed(drawn):
    ran = segcode("data", "check", "--data", "folder", "--root", drawn)
    assert ran.code == 0
    assert "all: 2 images (2 of 32 x 24)" in ran.out
    assert "sidewalk" in ran.out
    assert "No problems." in ran.out


def test_every_problem_is_listed_and_the_code_is_1(drawn):
    (drawn / "images" / "street_000000.png").write_bytes(b"no image")
    save(drawn / "labels" / "street_000001.png", np.zeros((3, 3), np.uint8))
    ran = segcode("data", "check", "--data", "folder", "--root", drawn)
    assert ran.code == 1
    assert "all, street_000000: " in ran.out
    assert "is no image that can be read" in ran.out
    assert "all, street_000001: " in ran.out
    assert "is 3 x 3, but its image" in ran.out
    assert "2 problems" in ran.out


def test_a_split_that_does_not_open_is_a_problem_among_others(tmp_path):
    street(tmp_path / "train/a.png")
    street(tmp_path / "val/a.png")
    save(tmp_path / "valannot/a.png", np.zeros((40, 60), np.uint8))
    save(tmp_path / "valannot/b.png", np.zeros((40, 60), np.uint8))
    ran = segcode("data", "check", "--data", "camvid", "--root", tmp_path)
    assert ran.code == 1
    assert "valannot/b.png has no image" in ran.out
    assert "has train/ and no labels: add trainannot/" in ran.out


def test_every_file_without_a_partner_or_with_several_is_listed_and_the_rest_is_read(drawn):
    street(drawn / "images" / "street_000000.jpg")
    (drawn / "images" / "street_000001.png").write_bytes(b"no image")
    for name in ("x.png", "y.png", "z.png", "z.bmp"):
        save(drawn / "labels" / name, np.zeros((24, 32), np.uint8))
    ran = segcode("data", "check", "--data", "folder", "--root", drawn)
    assert ran.code == 1
    for problem in (
        "images/street_000000.png have one name",
        "labels/x.png has no image",
        "labels/y.png has no image",
        "labels/z.png have one name",
        "street_000001.png is no image",
    ):
        assert problem in ran.out
    assert "5 problems" in ran.out


def test_names_in_brackets_and_of_any_bytes_are_printed(tmp_path):
    names = ("[/x]", "[red]", "café")
    tables = (f'[[class]]\nname = "{name}"\ncolour = [{number}, 1, 1]\n' for number, name in enumerate(names))
    (tmp_path / "classes.toml").write_text("\ufeff" + "".join(tables), encoding="utf-8")
    street(tmp_path / "images" / "[b]" / "[i].png")
    save(tmp_path / "labels" / "[b]" / "[i].png", np.zeros((40, 60), np.uint8))
    (tmp_path / "images" / "[b]" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"no image")
    command = [sys.executable, "-c", "from segcode.cli import main; main()", "data", "check", "--data", "folder"]
    for encoding in ("utf-8", "ascii"):
        ran = subprocess.run(
            [*command, "--root", str(tmp_path), "--split", "[b]"],
            capture_output=True,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )
        assert (ran.returncode, b"Traceback" in ran.stderr) == (1, False)
        for name in (b"[/x]", b"[red]", b"[b]: 2 images", b"caf\\udce9.png is no image"):
            assert name in ran.stdout


def test_images_without_labels_are_counted(tmp_path):
    street(tmp_path / "leftImg8bit/test/bonn/bonn_000000_000019_leftImg8bit.png")
    ran = segcode("data", "check", "--data", "cityscapes", "--root", tmp_path, "--split", "test")
    assert ran.code == 0
    assert "1 without labels" in ran.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "camvid"], "give the folder that it lies in as its root"),
        (["--data", "folder", "--root", "nowhere"], "nowhere/classes.toml is missing"),
        (["--data", "camvid", "--root", "nowhere"], "nowhere is not CamVid"),
    ],
)
def test_a_data_set_that_is_not_there_is_named(options, message):
    ran = segcode("data", "check", *options)
    assert ran.code in (1, 2)
    assert message in ran.out + ran.err
