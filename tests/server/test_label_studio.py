"""The bodies in label_studio_1_23.json are what Label Studio 1.23.2 sent, keys crossed out."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_label_studio import SmallLabelStudio
from starlette.testclient import TestClient
from test_label_studio_client import png

from segcode.classes import ClassSet
from segcode.export.bitmask import decode_bitmask, encode_bitmask
from segcode.export.brush_runs import decode_brush, encode_brush
from segcode.server import label_studio as protocol
from segcode.server.app import create_app
from segcode.server.label_studio_client import LabelStudio
from segcode.server.library import Library, Limits
from segcode.server.session import Session
from segcode.server.studio import Studio
from tiny import TINY, make_model

RECORDED = json.loads((Path(__file__).parent / "label_studio_1_23.json").read_text())
CLASSES = ClassSet(("road", "sky", "building", "car"), ((1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12)))
PICTURE = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
UPLOAD = RECORDED["predict"]["tasks"][0]["data"]["image"]
ROAD, SKY, BUILDING, CAR = range(4)


class Server:
    """segcode beside a small Label Studio, asked as the real one asks."""

    def __init__(self, model, folder: Path, small: SmallLabelStudio | None, memory: int = 2**30) -> None:
        studio = Studio(model, CLASSES, Library([], folder / "uploads", Limits()), folder, memory)
        asked = LabelStudio(small.address, small.PERSONAL, Limits()) if small else None
        self.app = create_app(studio, "models/tiny", label_studio=asked)
        self.client = TestClient(self.app, base_url="http://localhost:8765")

    def post(self, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def regions(self, body: dict[str, Any] = RECORDED["predict"]) -> list[dict[str, Any]]:
        (answer,) = self.post("/predict", body)["results"]
        assert answer["model_version"] == "segcode tiny"
        return answer["result"]

    def map(self, body: dict[str, Any] = RECORDED["predict"]) -> np.ndarray:
        return map_of(self.regions(body))

    def event(self, body: dict[str, Any]) -> None:
        """Returns once its effects have happened, as the client of the tests waits for background tasks."""
        assert self.post("/webhook", body) == {"status": "taken"}


def map_of(regions: list[dict[str, Any]]) -> np.ndarray:
    labels = np.full((32, 48), 255, np.uint8)
    for region in regions:
        mask = decode_brush(region["value"]["rle"], (32, 48))
        assert (labels[mask] == 255).all()
        labels[mask] = CLASSES.index(region["value"]["brushlabels"][0].lower())
    return labels


def brush(mask: np.ndarray, label: str, **more: Any) -> dict[str, Any]:
    region = deepcopy(RECORDED["created"]["annotation"]["result"][0])
    region["value"].update(rle=encode_brush(mask), brushlabels=[label])
    return {**region, **more}


def saved(*regions: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = deepcopy(RECORDED["created"])
    body["annotation"].update(result=list(regions), **more)
    return body


def pointed(label: str, x: float, y: float, name: str = "k1", positive: bool = True) -> dict[str, Any]:
    """A smart point on a pixel (x, y)."""
    body = deepcopy(RECORDED["smart point"])
    (region,) = body["params"]["context"]["result"]
    region.update(id=name, is_positive=positive)
    region["value"].update(x=(x + 0.5) / 0.48, y=(y + 0.5) / 0.32, keypointlabels=[label], labels=[label])
    return body


def box(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((32, 48), bool)
    mask[rows, columns] = True
    return mask


@pytest.fixture(scope="module")
def model():
    return make_model(TINY)


@pytest.fixture
def small():
    server = SmallLabelStudio()
    server.files[UPLOAD] = png(PICTURE)
    yield server
    server.close()


@pytest.fixture
def server(model, tmp_path, small):
    server = Server(model, tmp_path, small)
    with server.client:
        yield server


@pytest.fixture
def first(model):
    """The zero-code map."""
    return Session(model, PICTURE).first


def test_health_is_what_label_studio_reads(server):
    assert {"status": "UP", "model_class": "segcode"}.items() <= server.client.get("/health").json().items()


def test_setup_answers_the_version(server):
    assert server.post("/setup", RECORDED["setup"]) == {"model_version": "segcode tiny"}


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ("<View></View>", "name some of road, sky, building, car"),
        ("", "is no XML"),
        ("<View>", "is no XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>', "DOCTYPE"),
        (RECORDED["setup"]["schema"].replace('toName="image"', 'toName="other"'), "name some of"),
        (RECORDED["setup"]["schema"].replace("Label value", "Label name"), "name some of"),
        (" " * 2**21, "endless"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_with_the_cure(server, caplog, configuration, message):
    assert message in server.post("/setup", {**RECORDED["setup"], "schema": configuration}, 400)["detail"]
    assert message in caplog.text  # Label Studio does not show it


def test_a_task_gets_its_zero_code_map_with_the_labels_as_they_are_written(server, first):
    regions = server.regions()
    assert {region["value"]["brushlabels"][0] for region in regions} <= {"Road", "Sky", "Building", "Car"}
    assert all((r["from_name"], r["to_name"], r["origin"]) == ("brush", "image", "prediction") for r in regions)
    assert np.array_equal(map_of(regions), first)


def test_with_bitmask_labels_maps_are_given_and_strokes_taken_as_bitmasks(server, first):
    body = json.loads(json.dumps(RECORDED).replace("BrushLabels", "BitmaskLabels"))
    regions = server.regions(body["predict"])
    shown = np.full((32, 48), 255, np.uint8)
    for region in regions:
        mask = decode_bitmask(region["value"]["imageDataURL"], (32, 48))
        shown[mask] = CLASSES.index(region["value"]["bitmasklabels"][0].lower())
    assert {(region["type"], region["from_name"]) for region in regions} == {("bitmasklabels", "brush")}
    assert np.array_equal(shown, first)

    mask = box(slice(4, 12), slice(10, 30))
    value = {"imageDataURL": encode_bitmask(mask), "bitmasklabels": ["Car"]}
    server.event(saved({**brush(mask, "Car"), "type": "bitmasklabels", "value": value}))
    painted = server.map()
    server.event(saved(brush(mask, "Car")))
    assert (painted[mask] == CAR).all()
    assert np.array_equal(painted, server.map())


def test_a_class_without_a_label_is_left_out(server, first):
    gone = CLASSES.names[first[0, 0]].capitalize()
    body = {**RECORDED["predict"]}
    body["label_config"] = body["label_config"].replace(f'<Label value="{gone}"/>', "")
    expected = np.where(first == first[0, 0], 255, first)
    assert np.array_equal(server.map(body), expected)


def test_smart_points_hold_and_bend_the_map(server, first):
    label = int(np.bincount(first.ravel(), minlength=4).argmin())
    bent = server.map(pointed(CLASSES.names[label].capitalize(), 20, 10))
    assert bent[10, 20] == label
    assert (bent != first).sum() > 1


def test_a_point_beyond_the_image_or_wider_than_it_counts_where_it_can(server):
    body = pointed("Car", 20, 10)
    body["params"]["context"]["result"][0]["value"].update(x=1e9, y=-3.0, width=1e9)
    assert (server.map(body)[:, -1] == CAR).any()


def test_points_of_several_classes_count_together_though_each_is_sent_alone(server):
    server.map(pointed("car", 20, 10, "one"))
    both = server.map(pointed("SKY", 40, 25, "two"))
    assert (both[10, 20], both[25, 40]) == (CAR, SKY)
    assert np.array_equal(server.map(), both)


def test_a_negative_point_takes_back_what_was_said_there(server, first):
    server.map(pointed("Car", 20, 10, "one"))
    assert np.array_equal(server.map(pointed("Car", 20, 10, "two", positive=False)), first)


def test_a_saved_brush_holds_from_then_on_and_the_map_is_sent_to_label_studio(server, small):
    mask = box(slice(4, 12), slice(10, 30))
    server.event(saved(brush(mask, "Car")))
    bent = server.map()
    assert (bent[mask] == CAR).all()
    (prediction,) = small.predictions
    assert (prediction["task"], prediction["model_version"]) == (1, "segcode tiny")
    assert np.array_equal(map_of(prediction["result"]), bent)


def test_an_update_takes_the_place_of_what_was_saved(server, small):
    mask = box(slice(4, 12), slice(10, 30))
    server.event(saved(brush(mask, "Car")))
    server.event({**saved(brush(mask, "Sky")), "action": "ANNOTATION_UPDATED"})
    assert (server.map()[mask] == SKY).all()
    (prediction,) = small.predictions
    assert np.array_equal(map_of(prediction["result"]), server.map())


@pytest.mark.parametrize("name", ["created", "updated"])
def test_recorded_annotations_are_taken(server, first, name):
    server.event(RECORDED[name])
    mask = decode_brush(RECORDED[name]["annotation"]["result"][0]["value"]["rle"], (32, 48))
    expected = np.full(mask.sum(), BUILDING)
    if name == "updated":  # there, a point of a car is elsewhere
        assert server.map()[6, 24] == CAR
    assert np.array_equal(server.map()[mask], expected)


def test_predicted_regions_that_were_left_as_they_came_say_nothing(server, first):
    server.event({**RECORDED["created from predictions"]})
    assert np.array_equal(server.map(), first)


def test_a_changed_region_says_what_it_has_beyond_the_map_even_when_it_is_saved_again(server, first, model):
    label = int(np.bincount(first.ravel()).argmax())
    others = np.flatnonzero(first != label)
    added = np.zeros((32, 48), bool)
    added.flat[others[: len(others) // 2 + 1]] = True
    changed = brush((first == label) | added, CLASSES.names[label], origin="prediction-changed")
    server.event(saved(changed))
    once = server.map()
    server.event({**saved(changed), "action": "ANNOTATION_UPDATED"})
    assert np.array_equal(server.map(), once)
    alone = Server(model, server.app.state.studio.folder, None)
    with alone.client:
        inline = inlined(saved(brush(added, CLASSES.names[label])))
        alone.event(inline)
        assert np.array_equal(alone.map(inlined(RECORDED["predict"])), once)


def inlined(body: dict[str, Any]) -> dict[str, Any]:
    """The image in the task itself, so that nobody is asked."""
    source = "data:image/png;base64," + base64.b64encode(png(PICTURE)).decode()
    return json.loads(json.dumps(body).replace(UPLOAD, source))


def test_a_skipped_task_says_nothing(server, first):
    server.event(saved(brush(box(slice(4, 12), slice(10, 30)), "Car"), was_cancelled=True))
    assert np.array_equal(server.map(), first)


def shape(kind: str, label: str, **value: Any) -> dict[str, Any]:
    region = deepcopy(RECORDED["created"]["annotation"]["result"][0])
    return {**region, "type": kind, "value": {kind: [label], **value}}


@pytest.mark.parametrize(
    "region",
    [
        shape("polygonlabels", "Car", points=[[25, 25], [75, 25], [75, 75], [25, 75]]),
        shape("rectanglelabels", "Car", x=25, y=25, width=50, height=50),
        shape("rectanglelabels", "Car", x=75, y=25, width=100 * 16 / 48, height=100 * 24 / 32, rotation=90),
    ],
)
def test_polygons_and_rectangles_hold_inside_their_outline(server, region):
    server.event(saved(region))
    inside = server.map()[9:23, 13:35]
    assert (inside == CAR).all()


def test_shapes_that_say_nothing_are_told(server, first, caplog):
    server.event(saved(shape("ellipselabels", "Car", x=50, y=50)))
    assert np.array_equal(server.map(), first)
    assert "is an ellipse, which says nothing here" in caplog.text


@pytest.mark.parametrize("points", [[], [[1e300, 5], [5, 5], [9, 9]]])
def test_a_polygon_that_makes_no_sense_is_told_and_changes_nothing(server, first, caplog, points):
    server.event(saved(shape("polygonlabels", "Car", points=points)))
    assert np.array_equal(server.map(), first)
    assert "draw it again" in caplog.text


@pytest.mark.parametrize("name", ["annotation deleted", "task deleted"])
def test_what_is_deleted_is_forgotten(server, first, name):
    mask = box(slice(4, 12), slice(10, 30))
    server.event(saved(brush(mask, "Car"), id=RECORDED["annotation deleted"]["annotations"][0]["id"]))
    assert not np.array_equal(server.map(), first)
    server.event(RECORDED[name])
    assert np.array_equal(server.map(), first)


def test_after_a_restart_a_tasks_own_annotation_counts(server):
    mask = box(slice(4, 12), slice(10, 30))
    body = deepcopy(RECORDED["predict"])
    body["tasks"][0]["annotations"] = [saved(brush(mask, "Car"))["annotation"]]
    assert (server.map(body)[mask] == CAR).all()


def test_labels_that_the_model_lacks_say_nothing(server, first):
    server.event(saved(brush(box(slice(4, 12), slice(10, 30)), "Dog")))
    assert np.array_equal(server.map(), first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"original_width": 96}, "of 96 x 32, which has 48 x 32: draw it again"),
        ({"value": {"rle": [0, 0, 24, 0], "brushlabels": ["Car"]}}, "values"),
        ({"type": "bitmasklabels", "value": {"imageDataURL": "x", "bitmasklabels": ["Car"]}}, "no address of a PNG"),
    ],
)
def test_a_brush_that_does_not_fit_is_logged_and_changes_nothing(server, first, caplog, change, message):
    server.event(saved({**brush(box(slice(4, 12), slice(10, 30)), "Car"), **change}))
    assert message in caplog.text
    assert np.array_equal(server.map(), first)


def test_one_task_that_fails_leaves_the_others(server, first):
    body = deepcopy(RECORDED["predict"])
    body["tasks"].append({**body["tasks"][0], "id": 2, "data": {"image": "/data/upload/1/none.png"}})
    body["tasks"].append({**body["tasks"][0], "id": 3, "data": {"picture": UPLOAD}})
    mapped, missing, wrong = server.post("/predict", body)["results"]
    assert np.array_equal(map_of(mapped["result"]), first)
    assert "answers 404" in missing["error"]
    assert wrong["error"] == "task 3: the task's 'image' is None: let it be the path of an image"


def test_if_all_tasks_fail_that_is_an_error(server, small):
    small.files.clear()
    assert "answers 404" in server.post("/predict", RECORDED["predict"], 400)["detail"]


def test_without_the_option_nobody_is_asked(model, tmp_path, small, first):
    server = Server(model, tmp_path, None)
    with server.client:
        assert "--label-studio" in server.post("/predict", RECORDED["predict"], 400)["detail"]
        assert np.array_equal(server.map(inlined(RECORDED["predict"])), first)
        server.event(inlined(RECORDED["created"]))
    assert small.asked == []


def test_the_last_tasks_alone_are_kept(server, small, monkeypatch, first):
    monkeypatch.setattr(protocol, "_TASKS", 2)
    mask = box(slice(4, 12), slice(10, 30))
    for task in range(5, 12):
        small.files[f"/{task}.png"] = png(PICTURE)
        body = saved(brush(mask, "Car"))
        body["task"].update(id=task, data={"image": f"/{task}.png"})
        server.event(body)
    backend = server.app.state.label_studio
    assert [task for _, task in backend._truths] == [10, 11]


def test_images_of_tasks_share_the_memory_of_the_server(model, small, tmp_path):
    """One alone stays open with little memory, and tasks go on."""
    server = Server(model, tmp_path, small, memory=1)
    mask = box(slice(4, 12), slice(10, 30))
    with server.client:
        for task in (5, 6):
            small.files[f"/{task}.png"] = png(PICTURE)
            body = saved(brush(mask, "Car"))
            body["task"].update(id=task, data={"image": f"/{task}.png"})
            server.event(body)
            assert server.client.get("/health").json()["images_in_memory"] == 1
    assert [(map_of(prediction["result"])[mask] == CAR).all() for prediction in small.predictions] == [True, True]


@pytest.mark.parametrize("action", ["PROJECT_UPDATED", "TASKS_CREATED", "START_TRAINING", "LABEL_LINK_CREATED"])
def test_other_events_change_nothing(server, action):
    assert server.post("/webhook", {**RECORDED["created"], "action": action}) == {"status": "ignored"}
    assert server.post("/webhook", {"action": action}) == {"status": "ignored"}
    assert not server.app.state.label_studio._truths
