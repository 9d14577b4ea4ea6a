"""The real `cvat-cli` runs segcode's functions for a small server: `make test-integrations`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import PIL.Image
import pytest
from cvat_sdk.masks import decode_mask
from small_cvat import SmallCvat

from segcode.classes import CAMVID
from segcode.data.sources import open_source
from segcode.errors import ConfigError
from segcode.integrations.cvat import create
from segcode.model.checkpoint import load_model
from segcode.refinement.refiner import Refiner

STREET = open_source("streets", None, "test")[2].image
SIZE = STREET.shape[:2]
CONTEXT = cvataa.InteractionFunctionContext()
CAR, TREE = CAMVID.index("car"), CAMVID.index("tree")


@pytest.fixture
def cvat() -> Iterator[SmallCvat]:
    server = SmallCvat(STREET, CAMVID.names)
    yield server
    server.close()


@pytest.fixture(scope="module")
def first() -> np.ndarray:
    return Refiner(load_model("streets")).set_image(STREET).labels


def run(cvat: SmallCvat, folder: Path, *arguments: str, label: str = "") -> str:
    """What a subcommand of `cvat-cli function` with segcode's function prints and logs."""
    command = [str(Path(sys.executable).with_name("cvat-cli")), "--server-host", cvat.address, "function", *arguments]
    command += ["--function-module", "segcode.integrations.cvat", "-p", "segmenter=str:streets"]
    command += ["-p", f"label=str:{label}"] if label else []
    environment = {**os.environ, "CVAT_ACCESS_TOKEN": "none", "XDG_CONFIG_HOME": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def answer_of(cvat: SmallCvat, folder: Path, request: dict[str, Any], label: str = "") -> dict[str, Any]:
    """The result that a function, created and run as an agent, sends for a request."""
    run(cvat, folder, "create-native", "segcode", label=label)
    cvat.requests.append(request)
    log = run(cvat, folder, "run-agent", "1", "--burst", label=label)
    assert cvat.failures == [], log
    (result,) = cvat.results
    return result


def mask_of(shape: dict[str, Any]) -> np.ndarray:
    assert shape["type"] == "mask"
    return decode_mask(shape["points"], image_width=SIZE[1], image_height=SIZE[0])


def test_an_agent_detects_the_map_as_a_mask_of_each_class(cvat, tmp_path, first):
    mapping = {name: {"name": name, "attributes": {}} for name in CAMVID.names}
    request = {"type": "annotate_frame", "mapping": mapping, "threshold": None, "conv_mask_to_poly": False}
    shapes = answer_of(cvat, tmp_path, request)["annotations"]["shapes"]
    assert (cvat.function["kind"], cvat.function["name"]) == ("detector", "segcode")
    assert [label["name"] for label in cvat.function["labels_v2"]] == list(CAMVID.names)
    shown = np.full(SIZE, 255, np.uint8)
    for shape in shapes:
        shown[mask_of(shape)] = shape["label_id"] - 100
    assert np.array_equal(shown, first)


def test_an_agent_corrects_the_mask_of_a_class_from_points(cvat, tmp_path, first):
    rows, columns = np.nonzero(first != CAR)
    x, y = float(columns[len(rows) // 2]), float(rows[len(rows) // 2])
    request = {"type": "interact", "pos_points": [[x, y]], "neg_points": [], "obj_bbox": []}
    (shape,) = answer_of(cvat, tmp_path, request, "car")["shapes"]
    assert cvat.function["kind"] == "interactor"
    mask = mask_of(shape)
    assert mask[int(y), int(x)]
    assert mask.sum() > (first == CAR).sum()


class Points(cvataa.InteractionPrompts):
    """Prompts, as an agent gives them."""

    pos_points = neg_points = bounding_box = None  # abstract ones

    def __init__(self, pos: list[tuple[float, float]], neg: Sequence[tuple[float, float]] = ()) -> None:
        self.pos_points, self.neg_points = pos, neg


def test_negative_points_are_not_of_the_class_and_images_stay_open(first):
    function = create("streets", label="tree")
    (street, other) = (
        function.preprocess_image(CONTEXT, PIL.Image.fromarray(image).convert("RGBA"))
        for image in (STREET, STREET[::-1].copy())
    )
    trees = np.argwhere(first == TREE)
    (row, column), (inside, across) = trees[0].tolist(), trees[-1].tolist()
    function.detect(CONTEXT, other, Points([(1, 1)]))
    (shape,) = function.detect(CONTEXT, street, Points([(across, inside)], [(column, row)]))
    mask = decode_mask(shape.points, image_width=SIZE[1], image_height=SIZE[0])
    assert mask[inside, across]
    assert not mask[row, column]


def test_polygons_are_refused_with_the_cure(cvat, tmp_path):
    run(cvat, tmp_path, "create-native", "segcode")
    cvat.requests.append({"type": "annotate_frame", "mapping": {}, "threshold": None, "conv_mask_to_poly": True})
    run(cvat, tmp_path, "run-agent", "1", "--burst")
    assert "do not convert them" in cvat.failures[0]["exc_info"]


def test_a_class_that_the_segmenter_lacks_is_named():
    with pytest.raises(ConfigError, match="no class is called 'tre': did you mean 'tree'"):
        create("streets", label="tre")
