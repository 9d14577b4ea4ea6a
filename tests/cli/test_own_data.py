"""A user's own data, from a folder of labelled images to a refined map, on the command line alone."""

import json

from command_line import files_in, segcode

EXPERIMENT = """
epochs = 1
batch = 2
[data]
kind = "folder"
train = "all"
validation = "all"
[model]
size = [48, 64]
width = 4
code_size = 8
[hardware]
accelerator = "cpu"
"""


def test_from_labelled_images_to_a_refined_map(tmp_path):
    data, run, model = tmp_path / "data", tmp_path / "run", tmp_path / "run" / "model"
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    folder = ("--data", "folder", "--root", data, "--split", "all")
    street = data / "images" / "street_000000.png"
    commands = [
        ("data", "draw", "-n", 4, "--height", 48, "--width", 64, "-o", data),
        ("data", "check", *folder),
        ("train", tmp_path / "mine.toml", "--root", data, "-o", run),
        ("refine", street, "--point", "road=32,46", "--model", model, "-o", tmp_path / "o"),
        ("evaluate", *folder, "--model", model, "--truth", "road", "-o", tmp_path / "measured"),
    ]
    for command in commands:
        ran = segcode(*command)
        assert ran.code == 0, (command[0], ran.err)
    maps = {"labels", "overlay", "uncertainty", "before_after"}
    assert files_in(tmp_path / "o") == {f"street_000000_{name}.png" for name in maps}
    assert json.loads((tmp_path / "measured" / "results.json").read_text())["images"] == 4
