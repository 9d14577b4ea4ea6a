"""A real browser on a real server: what a person does on the page, and what must survive."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from websockets.sync.client import connect

from serving import FIRST

SIDEWALK = 4


def pixels(page, canvas: str = "map") -> np.ndarray:
    """The pixels of a canvas, (H, W, 4)."""
    encoded = page.evaluate("(id) => document.getElementById(id).toDataURL()", canvas)
    return np.array(Pillow.open(io.BytesIO(base64.b64decode(encoded.partition(",")[2]))).convert("RGBA"))


def drag(page, start: tuple[float, float], end: tuple[float, float], steps: int = 8, release: bool = True) -> None:
    """Press, move and release, in shares of the image's sides."""
    box = page.locator("#board").bounding_box()
    (x0, y0), (x1, y1) = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end))
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=steps)
    if release:
        page.mouse.up()


def paint(page, start=(0.30, 0.90), end=(0.45, 0.85)) -> None:
    """A stroke of sidewalk, until it is saved and shown."""
    marks = int(page.locator("body").get_attribute("data-marks"))
    page.keyboard.press(str(SIDEWALK + 1))
    drag(page, start, end)
    page.wait_for_selector(f"body[data-marks='{marks + 1}']")


def settle(page) -> None:
    page.wait_for_timeout(300)


def test_a_stroke_changes_the_map_where_nothing_was_labelled_and_undo_brings_it_back(open_page, served, street):
    page = open_page()
    before = pixels(page)
    paint(page)
    settle(page)
    after = pixels(page)
    painted = served.png(street, "truth.png") != 255
    changed = (before != after).any(2)
    assert painted.sum() > 200
    assert (changed & ~painted).sum() > 50
    page.keyboard.press("Control+z")
    page.wait_for_selector("body[data-marks='0']")
    assert np.array_equal(pixels(page), before)
    page.keyboard.press("Control+Shift+z")
    page.wait_for_selector("body[data-marks='1']")
    assert served.json(f"api/images/{street}/document")["marks"] == 1


def test_the_map_follows_while_the_stroke_is_drawn(open_page):
    page = open_page()
    before = pixels(page)
    page.keyboard.press(str(SIDEWALK + 1))
    drag(page, (0.30, 0.90), (0.45, 0.85), release=False)
    page.locator("#corner summary", has_text="ms · drawing").wait_for()
    assert (pixels(page) != before).any()
    assert page.locator("body").get_attribute("data-marks") == "0"
    page.mouse.up()
    page.wait_for_selector("body[data-marks='1']")


def test_what_is_exported_is_what_the_page_shows_and_what_the_server_says(open_page, served, tmp_path, street):
    page = open_page()
    paint(page)
    settle(page)
    colours = np.array([one["colour"] for one in served.json("api/model")["classes"]], np.uint8)
    page.locator("#export summary").click()
    with page.expect_download() as download:
        page.locator("#export a[data-kind='labels.png']").click()
    download.value.save_as(tmp_path / "labels.png")
    labels = np.array(Pillow.open(tmp_path / "labels.png"))
    assert download.value.suggested_filename == f"{street}_labels.png"
    assert np.array_equal(labels, served.png(street, "labels.png"))
    assert np.array_equal(pixels(page)[..., :3], colours[labels])
    assert np.array_equal(served.png(street, "colours.png"), colours[labels])
    truth = served.png(street, "truth.png")
    assert np.array_equal(labels[truth != 255], truth[truth != 255])


def test_a_polygon_loses_its_last_corner_by_undo_and_is_closed_by_another_tool(open_page, served, street):
    page = open_page()
    page.keyboard.press("p")
    box = page.locator("#board").bounding_box()
    for x, y in ((0.1, 0.1), (0.3, 0.1), (0.3, 0.3), (0.9, 0.9)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.keyboard.press("Control+z")
    page.keyboard.press("b")
    page.wait_for_selector("body[data-marks='1']")
    (polygon,) = served.json(f"api/images/{street}/export/marks.json")
    assert len(polygon["points"]) == 3


def test_what_misses_the_image_is_no_stroke(open_page, served, street):
    page = open_page()
    page.keyboard.press("v")
    drag(page, (0.4, -0.04), (0.5, -0.04))
    paint(page)
    assert served.json(f"api/images/{street}/document")["marks"] == 1


def test_an_image_that_does_not_open_cannot_be_painted_on(open_page, served, street):
    page = open_page()
    paint(page)
    image = served.images / f"{street}.png"
    before = image.read_bytes()
    served.kill()
    Pillow.open(image).transpose(Pillow.Transpose.FLIP_LEFT_RIGHT).save(image)
    served.start()
    page.locator("#notice", has_text="is about another image").wait_for()
    shown = pixels(page, "paint")
    drag(page, (0.6, 0.5), (0.7, 0.5))
    settle(page)
    assert np.array_equal(pixels(page, "paint"), shown)
    assert served.json(f"api/images/{street}/document")["marks"] == 1
    image.write_bytes(before)
    served.kill()
    served.start()


def test_a_sample_becomes_the_map_and_undo_goes_back(open_page):
    page = open_page()
    before = pixels(page)
    page.keyboard.press("s")
    page.wait_for_selector("#samples button >> nth=7")
    sample = page.locator("#samples button").nth(3)
    sample.hover()
    assert (pixels(page) != before).any()
    page.locator("#look").hover()
    assert np.array_equal(pixels(page), before)
    sample.click()
    page.wait_for_selector("body[data-marks='1']")
    assert (pixels(page) != before).any()
    page.locator("#undo").click()
    page.wait_for_selector("body[data-marks='0']")
    assert np.array_equal(pixels(page), before)


def test_work_is_found_again_after_a_reload(open_page, served, street):
    page = open_page()
    paint(page)
    page.reload()
    page.wait_for_selector("body[data-marks='1']")
    assert (pixels(page, "paint")[..., 3] > 0).any()
    assert page.locator(f"#images button[data-name='{street}']").get_attribute("data-state") == "in work"


def test_a_server_killed_in_the_middle_of_a_stroke_loses_nothing(open_page, served, street):
    page = open_page()
    paint(page)
    drag(page, (0.5, 0.9), (0.6, 0.9), release=False)
    served.kill()
    page.mouse.up()
    page.locator("#notice", has_text="does not answer").wait_for()
    before = pixels(page, "paint")
    drag(page, (0.2, 0.5), (0.3, 0.5))
    assert (pixels(page, "paint") != before).any()  # it is shown, though nobody has it
    served.start()
    page.wait_for_selector("body[data-marks='3']")
    page.wait_for_selector("#notice", state="hidden")
    assert served.json(f"api/images/{street}/document")["marks"] == 3


def test_strokes_on_an_image_that_was_left_meanwhile_are_sent_once_the_server_is_back(open_page, served, street):
    page = open_page()
    served.kill()
    drag(page, (0.2, 0.9), (0.3, 0.9))
    page.keyboard.press("PageDown")
    page.locator(f"#images button[data-name='{street}'][aria-current='false']").wait_for()
    served.start()
    page.locator(f"#images button[data-name='{street}'][data-state='in work']").wait_for()
    assert served.json(f"api/images/{street}/document")["marks"] == 1


def test_a_server_that_refuses_says_why(open_page, served):
    page = open_page()
    refusal = {"status": 403, "json": {"detail": "the token is missing or wrong"}}
    page.route("**/health", lambda route: route.fulfill(**refusal))
    served.kill()
    page.locator("#notice", has_text="the token is missing or wrong").wait_for()
    served.start()


def test_a_class_that_was_accepted_is_ticked_until_it_is_taken_back(open_page):
    page = open_page()
    tick = page.locator("#classes .accept").nth(SIDEWALK)
    look = "(one) => getComputedStyle(one, '::before').content"
    assert tick.evaluate(look) == '""'
    tick.click()
    page.locator("#classes .accept[aria-pressed='true']").wait_for()
    assert tick.get_attribute("aria-pressed") == "true"
    assert tick.evaluate(look) == '"✓"'
    page.keyboard.press("Control+z")
    page.locator("#classes .accept[aria-pressed='true']").wait_for(state="detached")


def test_strokes_do_not_go_to_an_image_of_that_name_in_another_folder_of_work(open_page, served, street, tmp_path):
    page, work = open_page(), served.work
    drag(page, (0.5, 0.9), (0.6, 0.9), release=False)
    served.kill()
    page.mouse.up()
    page.locator("#notice", has_text="does not answer").wait_for()
    served.work = tmp_path
    served.start()
    page.locator("#notice", has_text="another folder of work").wait_for()
    page.reload()
    page.wait_for_selector("body[data-marks='0']")
    served.kill()
    served.work = work
    served.start()
    page.reload()
    page.wait_for_selector("body[data-marks='1']")


def test_a_tab_closed_in_the_middle_of_a_stroke_loses_nothing(open_page, served):
    page = open_page()
    page.keyboard.press(str(SIDEWALK + 1))
    drag(page, (0.3, 0.9), (0.4, 0.9), release=False)
    page.goto("about:blank")
    page = open_page()
    page.wait_for_selector("body[data-marks='1']")


def test_two_tabs_on_one_image_show_each_others_strokes(open_page, served):
    one, other = open_page(), open_page()
    paint(one)
    other.wait_for_selector("body[data-marks='1']")
    paint(other, (0.7, 0.9), (0.8, 0.9))
    one.wait_for_selector("body[data-marks='2']")
    settle(one)
    assert np.array_equal(pixels(one), pixels(other))


def test_every_tool_makes_its_mark(open_page, served, street):
    page = open_page()
    page.keyboard.press("l")
    paint(page, (0.2, 0.8), (0.3, 0.8))
    page.keyboard.press("p")
    box = page.locator("#board").bounding_box()
    for x, y in ((0.1, 0.1), (0.2, 0.1), (0.2, 0.2), (0.1, 0.2), (0.1, 0.1)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.wait_for_selector("body[data-marks='2']")
    page.keyboard.press("f")
    page.keyboard.down("Shift")
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.95 * box["height"])
    page.keyboard.up("Shift")
    page.wait_for_selector("body[data-marks='3']")
    page.keyboard.press("x")
    drag(page, (0.12, 0.15), (0.18, 0.15))
    page.wait_for_selector("body[data-marks='4']")
    page.locator("#classes .accept").nth(0).click()
    page.wait_for_selector("body[data-marks='5']")
    page.locator("#reset").click()
    page.wait_for_selector("body[data-marks='6']")
    marks = served.json(f"api/images/{street}/export/marks.json")
    assert [(mark["kind"], mark.get("extent")) for mark in marks] == [
        ("brush", "part"),
        ("polygon", "outline"),
        ("region", "outline"),
        ("brush", "part"),
        ("region", "exhaustive"),
        ("reset", None),
    ]
    assert (served.png(street, "truth.png") == 255).all()


def test_done_writes_labels_and_truth_and_the_list_says_so(open_page, served, street):
    page = open_page()
    paint(page)
    page.locator("#done").click()
    page.wait_for_selector(f"#images button[data-name='{street}'][data-state='done']")
    for folder, kind in (("labels", "labels.png"), ("truth", "truth.png")):
        written = np.array(Pillow.open(served.work / folder / f"{street}.png"))
        assert np.array_equal(written, served.png(street, kind))
    paint(page, (0.5, 0.9), (0.6, 0.9))
    page.wait_for_selector(f"#images button[data-name='{street}'][data-state='in work']")
    assert not any((served.work / folder / f"{street}.png").exists() for folder in ("labels", "truth"))


def test_keys_are_for_the_image_after_a_click_on_a_button_and_enter_goes_on(open_page, served, street):
    page = open_page()
    page.locator("#reset").click()
    page.wait_for_selector("body[data-marks='1']")
    left = page.locator("#board").bounding_box()["x"]
    page.keyboard.down("Space")
    drag(page, (0.5, 0.5), (0.6, 0.5))
    page.keyboard.up("Space")
    assert page.locator("#board").bounding_box()["x"] > left + 10
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#images button[data-name='{street}'][data-state='done']")
    page.wait_for_selector(f"#images button[aria-current='true']:not([data-name='{street}'])")
    assert served.json(f"api/images/{street}/document")["marks"] == 1


def test_the_wheel_zooms_under_the_pointer_and_with_shift_sizes_the_brush(open_page):
    page = open_page()
    box = page.locator("#board").bounding_box()
    x, y = box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    settle(page)
    larger = page.locator("#board").bounding_box()
    assert larger["width"] > 1.3 * box["width"]
    assert (x - larger["x"]) / larger["width"] == pytest.approx(0.25, abs=0.01)
    radius = float(page.locator("#radius-value").text_content())
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Shift")
    settle(page)
    assert float(page.locator("#radius-value").text_content()) > radius
    assert page.locator("#board").bounding_box()["width"] == pytest.approx(larger["width"])


def test_views_differ_and_holding_c_compares(open_page):
    page = open_page()
    first = pixels(page)
    paint(page)
    settle(page)
    refined = pixels(page)
    shown = {}
    for key, view in zip("qwrt", ("image", "first", "uncertainty", "difference"), strict=True):
        page.keyboard.press(key)
        page.wait_for_timeout(600 if view == "uncertainty" else 100)
        shown[view] = pixels(page)
    assert (shown["image"][..., 3] == 0).all()
    assert np.array_equal(shown["first"], first)
    assert len(np.unique(shown["uncertainty"].reshape(-1, 4), axis=0)) > 20
    same = (first == refined).all(2)
    assert len(np.unique(shown["difference"][same], axis=0)) <= 2  # as before, or less certain
    page.keyboard.press("e")
    page.keyboard.down("c")
    assert np.array_equal(pixels(page), first)
    page.keyboard.up("c")
    assert np.array_equal(pixels(page), refined)


def test_the_page_says_where_to_look_and_names_the_class_under_the_pointer(open_page):
    page = open_page()
    page.keyboard.press("n")
    page.wait_for_selector("#place", state="visible")
    place = page.locator("#place").bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    under = page.locator("#under").text_content()
    assert under in [span.text_content() for span in page.locator("#classes span").all()]
    first = page.locator("#place").get_attribute("style")
    page.keyboard.press("n")
    settle(page)
    assert page.locator("#place").get_attribute("style") != first


def test_images_can_be_added_and_others_are_refused_with_the_cure(open_page, served, tmp_path):
    page = open_page()
    text = tmp_path / "note.png"
    text.write_text("no image")
    before = served.json("api/images")
    page.locator("#files").set_input_files([text, served.images / "street_0.png"])
    page.wait_for_selector("#images button[data-name^='uploads/'][aria-current='true']")
    page.wait_for_selector("body[data-marks]")
    settle(page)
    assert "note.png is no image that can be read" in page.locator("#notice").text_content()
    assert len(served.json("api/images")) == len(before) + 1


def test_the_first_minute(open_page, served, street):
    """No stroke without a class that was chosen; Alt and click, or I, choose the one under the pointer."""
    page = open_page(chosen=False)
    assert page.locator("#hint").is_visible()
    drag(page, (0.30, 0.90), (0.45, 0.85))
    page.locator("#notice", has_text="Choose a class first").wait_for()
    page.keyboard.press("a")
    assert served.json(f"api/images/{street}/document")["marks"] == 0
    assert page.locator("#classes [aria-checked='true']").count() == 0
    page.keyboard.press("i")
    assert page.locator("#classes [aria-checked='true'] span").text_content() == page.locator("#under").text_content()
    box = page.locator("#board").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.02 * box["height"])
    under = page.locator("#under").text_content()
    page.keyboard.down("Alt")
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.02 * box["height"])
    page.keyboard.up("Alt")
    assert page.locator("#classes [aria-checked='true'] span").text_content() == under
    paint(page)
    assert page.locator("#hint").is_hidden()


def test_a_dark_image_is_brightened_for_the_eye_alone(open_page):
    page = open_page()
    before = pixels(page)
    page.locator("#light summary").click()
    page.locator("#brightness").fill("200")
    assert "brightness(2)" in page.locator("#photo").get_attribute("style")
    assert np.array_equal(pixels(page), before)


def test_a_stroke_reaches_no_farther_than_it_should(open_page, served, street):
    """Much that changed far away flashes and can be taken back; `O` limits the strokes of a class from the start."""
    page = open_page()
    before = pixels(page)
    paint(page, (0.5, 0.93), (0.54, 0.93))  # of the class that is there already
    settle(page)
    assert (pixels(page) != before).any()
    assert page.locator("#far").is_hidden()
    page.keyboard.press("Control+z")
    page.wait_for_selector("body[data-marks='0']")
    paint(page)
    page.locator("#far").wait_for()
    everywhere = pixels(page)
    page.keyboard.press("k")
    page.locator("#far").wait_for(state="hidden")
    page.wait_for_selector("body[data-marks='1']")
    page.wait_for_timeout(1000)
    limited = pixels(page)
    assert 0 < (limited != before).any(2).sum() < (everywhere != before).any(2).sum()
    (mark,) = served.json(f"api/images/{street}/export/marks.json")
    assert mark["reach"] == 3 * mark["radius"]
    page.keyboard.press("o")
    paint(page, (0.6, 0.9), (0.7, 0.85))
    settle(page)
    assert page.locator("#far").is_hidden()
    assert served.json(f"api/images/{street}/export/marks.json")[1]["reach"]
    page.keyboard.press("1")
    assert not page.locator("#limited").is_checked()
    page.keyboard.press(str(SIDEWALK + 1))
    assert page.locator("#limited").is_checked()


def test_the_pointer_shows_what_a_stroke_would_change(open_page):
    page = open_page()
    page.keyboard.press(str(SIDEWALK + 1))
    box = page.locator("#board").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.9 * box["height"])
    page.wait_for_timeout(1000)
    assert (pixels(page, "over")[..., 3] > 0).any()


def test_a_keyboard_alone_paints(open_page, served, street):
    page = open_page()
    page.keyboard.press(str(SIDEWALK + 1))
    page.locator("#done").focus()  # the first arrow leaves it
    for key in (*["Control+ArrowDown"] * 4, *["ArrowLeft"] * 5, "Space", *["ArrowLeft"] * 9, "Space"):
        page.keyboard.press(key)
    page.wait_for_selector("body[data-marks='1']")
    (mark,) = served.json(f"api/images/{street}/export/marks.json")
    assert len(mark["points"]) >= 9
    page.keyboard.press("f")
    page.keyboard.press("Space")
    page.wait_for_selector("body[data-marks='2']")
    page.keyboard.press("p")
    for key in ("Space", *["ArrowUp"] * 5, "Space", *["ArrowRight"] * 5, "Space", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("body[data-marks='3']")
    assert [one["kind"] for one in served.json(f"api/images/{street}/export/marks.json")] == [
        "brush",
        "region",
        "polygon",
    ]


def test_keys_zoom_and_move_the_image_and_lead_the_pointer_to_a_place(open_page):
    page = open_page()
    before = page.locator("#board").bounding_box()
    for key in ("ArrowLeft", "+", "+"):
        page.keyboard.press(key)
    near = page.locator("#board").bounding_box()
    assert near["width"] == pytest.approx(before["width"] * 1.25**2, rel=1e-3)
    for _ in range(20):
        page.keyboard.press("Control+ArrowLeft")
    assert page.locator("#board").bounding_box()["x"] > near["x"]
    page.keyboard.press("n")
    page.wait_for_selector("#place", state="visible")
    place, pointer = (page.locator(each).bounding_box() for each in ("#place", "#cursor"))
    x, y = pointer["x"] + pointer["width"] / 2, pointer["y"] + pointer["height"] / 2
    assert 0 < x - place["x"] < place["width"]
    assert 0 < y - place["y"] < place["height"]


def test_a_group_of_choices_is_one_stop_of_the_tab_key(open_page):
    page = open_page()
    page.locator("#tools [aria-checked='true']").focus()
    page.keyboard.press("ArrowRight")
    assert tool(page) == "line"
    assert page.evaluate("document.activeElement.dataset.tool") == "line"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "radius"
    for group in ("views", "tools", "classes"):
        assert page.locator(f"#{group} [role=radio][tabindex='0']").count() == 1


def test_a_stroke_that_the_server_never_got_can_be_undone(open_page, served, street):
    page = open_page()
    paint(page)
    served.kill()
    drag(page, (0.2, 0.5), (0.3, 0.5))
    page.locator("#notice", has_text="does not answer").wait_for()
    before = pixels(page, "paint")
    page.keyboard.press("Control+z")
    assert (pixels(page, "paint") != before).any()
    served.start()
    page.wait_for_selector("#notice", state="hidden")
    settle(page)
    assert served.json(f"api/images/{street}/document")["marks"] == 1


def test_strokes_that_are_kept_are_shown_on_an_image_that_cannot_be_loaded(open_page, served, street):
    page = open_page()
    served.kill()
    drag(page, (0.2, 0.9), (0.3, 0.9))
    page.keyboard.press("PageDown")
    page.keyboard.press("PageUp")
    page.wait_for_timeout(1000)
    assert (pixels(page, "paint")[..., 3] > 0).any()
    served.start()
    page.wait_for_selector("body[data-marks='1']")


def test_back_goes_to_the_image_before(open_page, street):
    page = open_page()
    page.keyboard.press("PageDown")
    page.locator(f"#images button[data-name='{street}'][aria-current='false']").wait_for()
    page.go_back()
    page.locator(f"#images button[data-name='{street}'][aria-current='true']").wait_for()


def test_samples_say_in_what_they_differ_and_places_what_is_in_doubt(open_page):
    page = open_page()
    names = [one.text_content() for one in page.locator("#classes span").all()]
    page.keyboard.press("s")
    page.wait_for_selector("#samples button >> nth=7")
    for text in page.locator("#samples small").all_text_contents():
        chosen, _, other = text.partition(":")[0].partition(", not ")
        assert text == "like the map" or {chosen, other} <= set(names)
    page.keyboard.press("n")
    page.locator("#notice", has_text=", or ").wait_for()
    first, _, second = page.locator("#notice").text_content().rstrip("?").partition(", or ")
    assert {first, second} <= set(names)


def test_painting_in_a_view_without_the_map_shows_the_map(open_page):
    page = open_page()
    page.keyboard.press("w")
    paint(page)
    assert page.locator("[data-view='map']").get_attribute("aria-checked") == "true"


def test_the_page_names_the_model(open_page):
    page = open_page()
    page.keyboard.press("?")
    assert page.locator("#purpose").text_content().startswith("Model: streets")
    assert page.locator("#model").text_content() == "streets"


def test_keys_are_explained_and_classes_chosen_by_number(open_page):
    page = open_page()
    page.keyboard.press("3")
    assert page.locator("#classes .class").nth(2).get_attribute("aria-checked") == "true"
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()


def test_another_palette_changes_colours_alone(open_page):
    page = open_page()
    before = pixels(page)
    page.locator("#distinct").check()
    after = pixels(page)
    pairs = np.unique(np.concatenate([before, after], axis=2).reshape(-1, 8), axis=0)
    assert len(pairs) == len(np.unique(before.reshape(-1, 4), axis=0))
    assert (pairs[:, :4] != pairs[:, 4:]).any()


def test_a_telephone_shows_it_all_without_scrolling_sideways(open_page):
    page = open_page()
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    box = page.locator("#board").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    for name in ("#undo", "#done", "#export summary", "#help", "#tools button >> nth=0"):
        assert page.locator(name).is_visible()


def test_the_client_in_the_documentation_works(served):
    text = (Path(__file__).parents[2] / "docs/page.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0].replace("http://127.0.0.1:8765", served.address[:-1])
    names: dict[str, object] = {}
    exec(code, names)
    assert names["name"] == FIRST
    assert served.json(f"api/images/{FIRST}/document")["marks"] == 1
    assert Pillow.open(io.BytesIO(names["png"])).size == (480, 360)


def test_what_was_asked_for_before_a_client_went_away_is_done(served, street):
    with connect(served.address.replace("http", "ws") + f"api/images/{street}/live", max_size=None) as socket:
        for x in (50, 80):
            mark = {"kind": "brush", "id": f"gone-{x}", "label": 1, "radius": 4, "points": [[x, 50]]}
            socket.send(json.dumps({"type": "add", "mark": mark}))
        socket.send(json.dumps({"type": "done", "done": True}))
    for _ in range(50):
        found = served.json(f"api/images/{street}/document")
        if found["state"] == "done":
            break
        time.sleep(0.1)
    assert (found["marks"], found["state"]) == (2, "done")


def test_an_image_that_is_painted_all_over_leaves_nothing_to_look_at(open_page):
    page = open_page()
    page.keyboard.press("p")
    box = page.locator("#board").bounding_box()
    for x, y in ((-2, -2), (box["width"] + 2, -2), (box["width"] + 2, box["height"] + 2), (-2, box["height"] + 2)):
        page.mouse.click(box["x"] + x, box["y"] + y)
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-marks='1']")
    page.keyboard.press("n")
    page.locator("#notice", has_text="nothing left to look at").wait_for()


def test_an_image_dropped_on_the_page_is_opened(open_page, served):
    page = open_page()
    content = base64.b64encode((served.images / "street_1.png").read_bytes()).decode()
    dropped = page.evaluate_handle(
        "(text) => { const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));"
        "const data = new DataTransfer();"
        "data.items.add(new File([bytes], 'dropped street.png', { type: 'image/png' })); return data; }",
        content,
    )
    page.dispatch_event("#stage", "drop", {"dataTransfer": dropped})
    page.wait_for_selector("#images button[data-name='uploads/dropped street'][aria-current='true']")
    assert (served.work / "uploads/dropped street.png").is_file()


def test_a_disk_that_refuses_is_reported_and_nothing_is_lost(open_page, served, street):
    page = open_page()
    journals = served.work / "journals"
    journals.rename(served.work / "aside") if journals.exists() else None
    journals.write_text("in the way")
    sent: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda one: sent.append(one)))
    page.reload()
    page.wait_for_selector("body[data-marks='0']")
    page.keyboard.press("1")
    for x in (0.3, 0.5, 0.7):
        drag(page, (x, 0.9), (x + 0.1, 0.9))
    page.locator("#notice", has_text="Not saved yet").wait_for()
    assert served.json(f"api/images/{street}/document")["marks"] == 0
    page.wait_for_timeout(7000)
    added = [one for one in map(str, sent) if '"add"' in one]
    assert 6 <= len(added) <= 15  # each of the three, every three seconds
    journals.unlink()
    (served.work / "aside").rename(journals) if (served.work / "aside").exists() else None
    page.wait_for_selector("body[data-marks='3']")
    page.locator("#notice").wait_for(state="hidden")


def press(page, **event) -> None:
    """A key as another layout of the keyboard sends it."""
    page.evaluate(
        "(event) => { for (const kind of ['keydown', 'keyup'])"
        "document.body.dispatchEvent(new KeyboardEvent(kind, { bubbles: true, ...event })); }",
        event,
    )


def tool(page) -> str | None:
    return page.locator("#tools [aria-checked='true']").get_attribute("data-tool")


def test_letters_work_on_a_layout_without_latin_ones(open_page):
    page = open_page()
    press(page, key="д", code="KeyL")
    assert tool(page) == "line"
    press(page, key="З", code="KeyP")
    assert tool(page) == "polygon"
    page.keyboard.press("b")
    paint(page)
    press(page, key="я", code="KeyZ", ctrlKey=True)
    page.wait_for_selector("body[data-marks='0']")
    press(page, key="Я", code="KeyZ", ctrlKey=True, shiftKey=True)
    page.wait_for_selector("body[data-marks='1']")


def test_on_a_latin_layout_letters_are_those_that_are_written(open_page):
    """German: Z is where Y is on an English keyboard, and brackets are digits with AltGr."""
    page = open_page()
    paint(page)
    press(page, key="z", code="KeyY", ctrlKey=True)
    page.wait_for_selector("body[data-marks='0']")
    radius = float(page.locator("#radius-value").text_content())
    chosen = page.locator("#classes .class[aria-checked='true'] span").text_content()
    press(page, key="]", code="Digit9", ctrlKey=True, altKey=True, modifierAltGraph=True)
    assert float(page.locator("#radius-value").text_content()) > radius
    press(page, key="?", code="Digit7", shiftKey=True)
    assert page.locator("#keys").is_visible()
    assert page.locator("#classes .class[aria-checked='true'] span").text_content() == chosen


def point(page, kind: str, x: float, y: float, **event) -> None:
    """A pointer at a place in shares of the image's sides."""
    box = page.locator("#board").bounding_box()
    at = {"clientX": box["x"] + x * box["width"], "clientY": box["y"] + y * box["height"], "bubbles": True}
    page.evaluate(
        "([kind, event]) => document.getElementById('stage').dispatchEvent(new PointerEvent(kind, event))",
        [f"pointer{kind}", {**at, "button": 0, **event}],
    )


PEN, HAND = {"pointerId": 1, "pointerType": "pen"}, {"pointerId": 2, "pointerType": "touch"}


def test_a_hand_that_rests_beside_a_pen_neither_ends_the_stroke_nor_draws(open_page, served, street):
    page = open_page()
    left = page.locator("#board").bounding_box()["x"]
    point(page, "down", 0.3, 0.8, **PEN)
    point(page, "down", 0.6, 0.9, **HAND)
    point(page, "move", 0.65, 0.95, **HAND)
    point(page, "move", 0.4, 0.8, **PEN)
    point(page, "up", 0.65, 0.95, **HAND)
    point(page, "move", 0.5, 0.8, **PEN)
    point(page, "up", 0.5, 0.8, **PEN)
    page.wait_for_selector("body[data-marks='1']")
    point(page, "down", 0.6, 0.9, **HAND)
    point(page, "move", 0.7, 0.9, **HAND)
    point(page, "up", 0.7, 0.9, **HAND)
    paint(page)
    first, _ = served.json(f"api/images/{street}/export/marks.json")
    assert len(first["points"]) == 3
    assert page.locator("#board").bounding_box()["x"] == pytest.approx(left)


def test_a_pen_draws_though_a_hand_was_there_before(open_page, served, street):
    page = open_page()
    point(page, "down", 0.6, 0.9, **HAND)
    point(page, "down", 0.3, 0.8, **PEN)
    point(page, "move", 0.4, 0.8, **PEN)
    point(page, "up", 0.4, 0.8, **PEN)
    page.wait_for_selector("body[data-marks='1']")
    (mark,) = served.json(f"api/images/{street}/export/marks.json")
    assert len(mark["points"]) == 2


def test_two_fingers_move_the_image_and_leave_no_stroke(open_page, served, street):
    page = open_page()
    left = page.locator("#board").bounding_box()["x"]
    for finger, x in ((7, 0.3), (8, 0.5)):
        point(page, "down", x, 0.5, pointerId=finger, pointerType="touch")
    for finger, x in ((7, 0.4), (8, 0.6)):
        point(page, "move", x, 0.5, pointerId=finger, pointerType="touch")
    for finger, x in ((7, 0.4), (8, 0.6)):
        point(page, "up", x, 0.5, pointerId=finger, pointerType="touch")
    assert page.locator("#board").bounding_box()["x"] > left + 5
    assert served.json(f"api/images/{street}/document")["marks"] == 0


def test_the_other_end_of_a_pen_erases(open_page, served, street):
    page = open_page()
    paint(page)
    point(page, "down", 0.3, 0.9, **PEN, **{"button": 5, "buttons": 32})
    point(page, "move", 0.45, 0.85, **PEN, **{"button": -1, "buttons": 32})
    point(page, "up", 0.45, 0.85, **PEN, **{"button": 5})
    page.wait_for_selector("body[data-marks='2']")
    marks = served.json(f"api/images/{street}/export/marks.json")
    assert [mark["label"] for mark in marks] == [SIDEWALK, None]


def corners(page, *places: tuple[float, float]) -> None:
    page.keyboard.press("p")
    box = page.locator("#board").bounding_box()
    for x, y in places:
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_an_unfinished_polygon_is_gone_on_with_after_a_reload(open_page, served, street):
    page = open_page()
    page.keyboard.press(str(SIDEWALK + 1))
    corners(page, (0.1, 0.1), (0.3, 0.1))
    page.reload()
    page.wait_for_selector("#tools [data-tool='polygon'][aria-checked='true']")
    box = page.locator("#board").bounding_box()
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-marks='1']")
    (polygon,) = served.json(f"api/images/{street}/export/marks.json")
    assert (polygon["kind"], polygon["label"], len(polygon["points"])) == ("polygon", SIDEWALK, 3)
    page.reload()
    page.wait_for_selector("body[data-marks='1']")
    assert tool(page) == "brush"


def test_an_unfinished_polygon_waits_for_its_image(open_page, served, street):
    page = open_page()
    corners(page, (0.1, 0.1), (0.3, 0.1), (0.3, 0.3))
    page.keyboard.press("PageDown")
    page.locator(f"#images button[data-name='{street}'][aria-current='false']").wait_for()
    page.keyboard.press("b")
    page.keyboard.press("PageUp")
    page.wait_for_selector("#tools [data-tool='polygon'][aria-checked='true']")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-marks='1']")
    assert len(served.json(f"api/images/{street}/export/marks.json")[0]["points"]) == 3


def test_a_polygon_that_was_dropped_does_not_come_back(open_page):
    page = open_page()
    corners(page, (0.1, 0.1), (0.3, 0.1))
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("body[data-marks='0']")
    settle(page)
    assert tool(page) == "brush"


def test_a_damaged_file_is_marked_with_the_reason_and_the_others_open(open_page, served):
    """One that has no image in it, and one whose damage shows when it is decoded."""
    page = open_page()
    (served.images / "zz_empty.png").write_bytes(b"")
    whole = (served.images / "street_0.png").read_bytes()
    (served.images / "zz_half.png").write_bytes(whole[: len(whole) // 2])
    served.kill()
    served.start()
    try:
        page.reload()
        page.wait_for_selector("body[data-marks]")
        page.locator("#images").evaluate("(list) => list.scrollTo(1e6, 1e6)")
        for name, why in (("zz_empty", "is empty"), ("zz_half", "is damaged")):
            item = page.locator(f"#images button[data-name='{name}'][data-state='problem']")
            item.scroll_into_view_if_needed()
            item.wait_for()
            assert why in item.get_attribute("title")
            item.click()
            page.locator("#notice", has_text=why).wait_for()
    finally:
        for name in ("zz_empty", "zz_half"):
            (served.images / f"{name}.png").unlink()
        served.kill()
        served.start()
