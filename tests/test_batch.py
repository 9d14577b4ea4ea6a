import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from segcode.batch import BatchRefiner, Outcome, Request
from segcode.errors import ConfigError
from segcode.export.maps import map_files
from segcode.segmenters.specification import open_segmenter
from segcode.streets import Streets
from segcode.tensors import IGNORE

ROOT = Path(__file__).parents[1]

SEGMENTER = """
import numpy as np

classes = ["dark", "light"]

def logits(image, name=None):
    if name == "bug":
        raise TypeError("a bug")
    brightness = image[::4, ::4].mean(2) / 255
    return np.stack([brightness, 1 - brightness]) * 8

logits.classes = classes
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a segmenter of two classes and six photos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "by_brightness", raising=False)
    Path("by_brightness.py").write_text(SEGMENTER)
    Path("photos").mkdir()
    for index, sample in enumerate(Streets(6, 0, 48, 64)):
        Pillow.fromarray(sample.image).save(f"photos/{index}.png")
    return tmp_path


by_brightness = partial(open_segmenter, "python:by_brightness.logits")


def test_a_batch_gives_a_column_for_each_attribute_and_the_maps_of_the_refiner(folder):
    labels = np.full((48, 64), IGNORE, np.uint8)
    labels[:9] = 1
    Pillow.fromarray(labels).save("partial.png")
    refine = BatchRefiner(by_brightness, "out", extents={"light": "exhaustive"})
    columns = refine({"image": ["photos/0.png", "photos/1.png"], "labels": ["", "partial.png"]})
    assert columns.keys() == set(Outcome._fields)
    assert columns["name"].tolist() == ["0", "1"]
    assert columns["labelled"].tolist() == [0, 9 * 64]
    assert columns["problem"].tolist() == ["", ""]
    assert all(file.exists() for name in "01" for file in map_files(Path("out", name)))
    light = np.asarray(Pillow.open("out/1_labels.png")) == 1
    assert (light == (labels == 1)).all()


def test_no_error_of_an_image_stops_the_others_of_a_batch(folder):
    Path("photos/damaged.png").write_bytes(b"no picture")
    names = ["0", "damaged", "bug", "2"]
    images = [f"photos/{name}.png" for name in ("0", "damaged", "1", "2")]
    columns = BatchRefiner(by_brightness, "out")({"image": images, "name": names})
    assert [problem.split(":")[0] for problem in columns["problem"]][::3] == ["", ""]
    assert "damaged.png is no image" in columns["problem"][1]
    assert columns["problem"][2].startswith("photos/1.png: the segmenter fails on an image (TypeError: a bug, ")
    assert [digest != "" for digest in columns["digest"]] == [True, False, False, True]


def test_a_bug_of_the_segmenter_is_the_problem_of_its_image_with_its_place(folder):
    first, second = BatchRefiner(by_brightness, "out").refine(
        [Request("photos/0.png", "bug"), Request("photos/1.png", "1")]
    )
    assert re.search(r"photos/0\.png: .* \(TypeError: a bug, .*by_brightness\.py line \d+\)", first.problem)
    assert second.digest


def test_an_extent_of_an_unknown_class_is_refused(folder):
    with pytest.raises(ConfigError, match="no class is called 'road'"):
        BatchRefiner(by_brightness, "out", extents={"road": "outline"})


def test_the_documented_pool_of_processes_writes_the_same_maps(folder):
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/cluster.md").read_text(encoding="utf-8"), re.DOTALL)
    Path("pool.py").write_text(script.replace('"onnx:net.onnx"', '"python:by_brightness.logits"'))
    ran = subprocess.run([sys.executable, "pool.py"], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
    BatchRefiner(by_brightness, "expected")({"image": [f"photos/{index}.png" for index in range(6)]})
    written = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert written == {path.name: path.read_bytes() for path in Path("expected").iterdir()}
    assert len(written) == 18
