"""The whole job in a real browser: progress, filter, order, notes, void, uploads and the export of all."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image as Pillow

from segcode.data.sources import open_source
from segcode.export.picture import write_picture
from serving import Served

CLASS_LIST = """
[[class]]
name = "traffic"
colour = [250, 0, 0]
key = "y"
of = ["car", "bicyclist"]

[[class]]
name = "rest"
of = ["*"]
"""


@pytest.fixture
def job(browser, tmp_path) -> Iterator:
    """A page over some drawn streets, after a function has prepared the folder of work."""
    source = open_source("streets", None, "test", 90, 120)
    servers, contexts = [], []
    problems: list[str] = []

    def start(count: int = 4, options: tuple[str, ...] = ()):
        for index in range(count):
            write_picture(tmp_path / "images" / f"street_{index:03}.png", source[index % 4].image, result=False)
        served = Served(tmp_path / "images", tmp_path / "work", options=options)
        servers.append(served)
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(served.address)
        page.wait_for_selector("body[data-ready]")
        page.wait_for_selector("body[data-marks]")
        return page, served

    yield start
    for context in contexts:
        context.close()
    for served in servers:
        served.kill()
    assert problems == []


def names(page) -> list[str]:
    return page.locator("#images button").evaluate_all("(all) => all.map((one) => one.dataset.name)")


def finish(page) -> None:
    """Call the image that is open done, and wait for the next one."""
    before = page.locator("#title").text_content()
    page.keyboard.press("Enter")
    page.wait_for_function("(name) => document.getElementById('title').textContent !== name", arg=before)


def test_progress_filter_and_next_lead_through_the_job(job):
    page, _ = job()
    assert page.locator("#count").text_content() == "0 of 4 done"
    finish(page)
    page.locator("#count", has_text="1 of 4 done").wait_for()
    assert page.locator("#title").text_content() == "street_001"
    page.keyboard.press("g")
    page.locator("#flag[aria-pressed='true']").wait_for()
    page.keyboard.press("j")
    page.locator("#title", has_text="street_002").wait_for()
    page.select_option("#only", "done")
    assert names(page) == ["street_000", "street_002"]  # the one that is open stays
    page.select_option("#only", "flagged")
    assert names(page) == ["street_001", "street_002"]
    page.keyboard.press("PageUp")
    page.locator("#title", has_text="street_001").wait_for()
    assert names(page) == ["street_001"]
    page.locator("#only").focus()
    page.keyboard.type("to do")  # its letters are keys of the list, not of the image
    assert page.input_value("#only") == "to do"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    page.locator("#title", has_text="street_003").wait_for()
    page.keyboard.press("j")  # begins again
    page.locator("#title", has_text="street_001").wait_for()


def test_a_comment_is_kept_and_its_letters_choose_no_tool(job):
    page, served = job()
    page.fill("#comment", "")
    page.locator("#comment").press_sequentially("plx: is this a kerb?")
    page.keyboard.press("Enter")
    page.locator("#images button[title*='is this a kerb?']").wait_for()
    assert page.locator("#tools [aria-checked='true']").get_attribute("data-tool") == "brush"
    assert served.json("api/images")[0]["comments"] == {"": "plx: is this a kerb?"}
    page.reload()
    page.wait_for_function("() => document.getElementById('comment').value === 'plx: is this a kerb?'")
    sign(page, "Bob")
    page.locator("#comments", has_text="no name: plx: is this a kerb?").wait_for()
    assert page.locator("#comment").input_value() == ""


def sign(page, name: str) -> None:
    page.fill("#person", name)
    page.keyboard.press("Enter")


def dot(page) -> None:
    """A stroke of one point, until the map shows it."""
    marks = int(page.locator("body").get_attribute("data-marks"))
    box = page.locator("#board").bounding_box()
    page.keyboard.press("1")
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.8 * box["height"])
    page.wait_for_selector(f"body[data-marks='{marks + 1}']")


def test_a_name_is_asked_for_and_painting_does_not_wait_for_it(job):
    page, served = job()
    assert page.locator("#person").get_attribute("placeholder") == "Your name?"
    dot(page)
    sign(page, "Ann")
    dot(page)
    assert list(served.json("api/images/street_000/document")["people"]) == ["", "Ann"]
    page.reload()
    page.locator("#people", has_text="Ann, ").wait_for()
    assert page.locator("#person").input_value() == "Ann"
    assert "no name, " in page.locator("#people").text_content()


def test_a_second_person_sends_back_and_accepts(job):
    page, served = job()

    def press(key: str, title: str) -> None:
        page.keyboard.press(key)
        page.locator("#title", has_text=title).wait_for()
        page.locator("#corner summary").wait_for()  # its map is there

    assert page.locator("#accept").is_hidden()
    press("Enter", "street_001")
    press("PageUp", "street_000")
    page.keyboard.press("y")
    page.locator("#notice", has_text="Your name first: a review needs it.").wait_for()
    page.keyboard.type("Ann")  # its field has the focus
    page.keyboard.press("Enter")
    page.locator("#done", has_text="Reopen").click()
    press("Enter", "street_001")
    press("PageUp", "street_000")
    page.keyboard.press("y")
    page.locator("#notice", has_text="Ann has called this image done: somebody else has to accept it").wait_for()
    press("PageDown", "street_001")
    sign(page, "Bob")
    page.select_option("#only", "to review")
    press("j", "street_000")
    page.once("dialog", lambda dialog: dialog.accept("the kerb is wrong"))
    page.locator("#send-back").click()
    page.locator("#notice", has_text="No other image of “to review” is left to do.").wait_for()
    page.reload()
    page.locator("#notice", has_text="Sent back. Bob: the kerb is wrong").wait_for()
    sign(page, "Ann")
    press("Enter", "street_001")
    sign(page, "Bob")
    page.select_option("#only", "to review")
    press("j", "street_000")
    dot(page)
    page.keyboard.press("Enter")
    page.locator("#count", has_text="1 of 4 done · 1 accepted").wait_for()
    document = served.json("api/images/street_000/document")
    assert (document["state"], document["finished_by"], document["marks"]) == ("accepted", "Ann", 1)


def test_images_are_sorted_by_what_they_need(job):
    page, served = job()
    page.select_option("#order", "change")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#images small')].every((one) => one.textContent.includes('·'))"
    )
    change = {one["name"]: one["expected_change"] for one in served.json("api/images")}
    assert names(page) == sorted(change, key=lambda name: -change[name])
    page.select_option("#order", "name")
    assert names(page) == sorted(change)


def test_void_is_painted_and_stays_out_of_the_export(job):
    page, served = job()
    page.keyboard.press("u")
    assert page.locator("#classes .class[aria-checked='true'] span").text_content() == "void"
    box = page.locator("#board").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.8 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_selector("body[data-marks='1']")
    page.locator("#under", has_text="void, labelled").wait_for()
    assert (served.png("street_000", "labels.png") == 255).sum() > 20
    assert page.locator("#classes .class small").last.text_content() != ""


def test_an_upload_keeps_its_name_and_can_be_removed(job):
    page, served = job()
    content = io.BytesIO()
    Pillow.fromarray(np.zeros((60, 80, 3), np.uint8)).save(content, "JPEG")
    page.set_input_files("#files", {"name": "IMG 7.JPG", "mimeType": "image/jpeg", "buffer": content.getvalue()})
    page.locator("#title", has_text="uploads/IMG 7").wait_for()
    assert (served.work / "uploads" / "IMG 7.JPG").exists()
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#remove").click()
    page.locator("#count", has_text="0 of 4 done").wait_for()
    assert not (served.work / "uploads" / "IMG 7.JPG").exists()
    assert page.locator("#title").text_content() == "street_003"
    assert page.locator("#remove").is_hidden()


@pytest.mark.parametrize(
    ("layout", "file"), [("voc", "SegmentationClass/street_000.png"), ("ids", "labels/street_000.png")]
)
def test_the_images_that_are_done_are_exported_as_a_zip(job, tmp_path, layout, file):
    page, served = job()
    finish(page)
    page.locator("#export-job").click()
    page.select_option("#export-only", "done")
    page.select_option("#export-layout", layout)
    with page.expect_download() as download:
        page.locator("#export-link").click()
    download.value.save_as(tmp_path / "job.zip")
    archive = zipfile.ZipFile(tmp_path / "job.zip")
    assert [name for name in archive.namelist() if "street_" in name and "truth" not in name] == [file]
    assert {"classes.toml", "id2label.json"} <= set(archive.namelist())
    labels = np.array(Pillow.open(io.BytesIO(archive.read(file))))
    np.testing.assert_array_equal(labels - (layout == "voc"), served.png("street_000", "labels.png"))


def test_a_class_list_merges_the_classes_of_the_model_and_has_its_own_keys(job, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "classes.toml").write_text(CLASS_LIST)
    page, served = job()
    assert page.locator("#classes .class span").all_text_contents() == ["traffic", "rest", "void"]
    page.keyboard.press("2")
    page.keyboard.press("y")
    chosen = page.locator("#classes .class[aria-checked='true']")
    assert (chosen.locator("span").text_content(), chosen.locator("kbd").text_content()) == ("traffic", "Y")
    assert set(np.unique(served.png("street_000", "labels.png")).tolist()) == {0, 1}


def test_the_class_list_is_changed_on_the_page(job):
    page, served = job(1)

    def rows(name: str):
        return page.locator("#class-rows tr").nth(names.index(name))

    names = page.locator("#classes .class span").all_text_contents()[:-1]
    page.locator("#edit-classes").click()
    rows("car").locator("[name=name]").fill("vehicle")
    rows("car").locator("[name=key]").fill("y")
    rows("car").locator("[name=colour]").fill("#fa0000")
    page.locator("#add-class").click()
    page.keyboard.type("drone")  # its name is where the cursor is
    rows("bicyclist").locator("select").select_option(label="Merge into vehicle")
    with page.expect_navigation():
        page.locator("#save-classes").click()
    page.wait_for_selector("body[data-ready]")
    names = [*(name for name in names if name != "bicyclist"), "drone", "void"]
    names[names.index("car")] = "vehicle"
    assert page.locator("#classes .class span").all_text_contents() == names
    assert 'of = ["car", "bicyclist"]' in (served.work / "classes.toml").read_text()
    page.keyboard.press("y")
    chosen = page.locator("#classes .class[aria-checked='true']")
    assert chosen.locator("span").text_content() == "vehicle"
    assert chosen.locator("i").evaluate("(one) => one.style.background") == "rgb(250, 0, 0)"
    page.keyboard.press("f")
    page.wait_for_selector("body[data-marks]")
    box = page.locator("#board").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("body[data-marks='1']")
    page.locator("#edit-classes").click()
    page.locator("#class-places", has_text="keep their places").wait_for()
    assert rows("drone").locator("select").is_hidden()
