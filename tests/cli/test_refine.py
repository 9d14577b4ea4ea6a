import re

import numpy as np
import pytest
from command_line import FOUR, HEIGHT, WIDTH, files_in, make_model_folder, mask, read, save, segcode, street

from segcode.cli.given_truth import GivenTruth
from segcode.data.labels import write_labels
from segcode.errors import TruthError
from segcode.model.checkpoint import load_model
from segcode.tensors import IGNORE

SIZE = (HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def image(tmp_path):
    return street(tmp_path / "street.png")


def given(**options) -> GivenTruth:
    lists = ("masks", "extents", "polygons", "boxes", "strokes", "excluded", "points")
    nothing = {**{name: [] for name in lists}, "soft": False, "labels": None, "radius": 2.0}
    return GivenTruth(**{**nothing, **options})


def test_refining_writes_four_pictures_and_one_line_of_what_changed(model, image, tmp_path):
    drawn = mask(tmp_path / "mask.png")
    ran = segcode("refine", image, "--truth", f"car={drawn}", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    endings = ("labels", "overlay", "uncertainty", "before_after")
    assert files_in(tmp_path / "out") == {f"street_{ending}.png" for ending in endings}
    assert (read(tmp_path / "out" / "street_labels.png")[read(drawn) > 0] == FOUR.index("car")).all()
    purpose, status, look = ran.out.splitlines()
    assert purpose == f"Model {model}, for {load_model(model).purpose}"
    assert re.fullmatch(r"\d+ labelled cells, \d+ solver steps; \d+ of 2100 unlabelled pixels changed \(.* %\)", status)
    assert look == f"Look at {tmp_path / 'out' / 'street_before_after.png'}"


def test_the_number_of_changed_pixels_is_that_of_the_maps(model, image, tmp_path):
    segcode("predict", image, "--model", model, "-o", tmp_path / "before")
    ran = segcode("refine", image, "--stroke", "car=5,5:50,30", "--model", model, "-o", tmp_path / "after")
    before, after = (read(tmp_path / folder / "street_labels.png") for folder in ("before", "after"))
    stroke = given(strokes=["car=5,5:50,30"]).read(SIZE, FOUR).known_mask
    assert f"{((before != after) & ~stroke).sum()} of {(~stroke).sum()} unlabelled pixels changed" in ran.out


def test_every_kind_of_truth_in_one_command(model, image, tmp_path):
    labels = np.full(SIZE, IGNORE, np.uint8)
    labels[:5] = FOUR.index("sky")
    ran = segcode(
        "refine", image, "--truth", f"car={mask(tmp_path / 'mask.png')}", "--extent", "car=exhaustive",
        "--labels", save(tmp_path / "labels.png", labels), "--point", "road=3,39", "--stroke", "sidewalk=50,35:58,38",
        "--radius", 1, "--polygon", "road=2,12:8,12:8,18", "--box", "sidewalk=50,10:55,20", "--not", "sky=50,25:58,25",
        "--model", model, "-o", tmp_path / "out",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    after = read(tmp_path / "out" / "street_labels.png")
    assert (after[:5] == FOUR.index("sky")).all()
    assert (after == FOUR.index("car")).sum() == 300
    assert after[39, 3] == after[13, 7] == FOUR.index("road")
    assert (after[10:20, 50:55] == FOUR.index("sidewalk")).all()
    assert after[35, 50] == FOUR.index("sidewalk")
    assert (after[25, 50:58] != FOUR.index("sky")).all()


def test_an_empty_mask_changes_nothing(model, image, tmp_path):
    ran = segcode(
        "refine", image, "--truth", f"car={mask(tmp_path / 'm.png', 0)}", "--model", model, "-o", tmp_path / "o"
    )
    assert ran.code == 0
    assert "initial prediction; 0 of 2400 unlabelled pixels changed (0.0 %)" in ran.out


def test_an_empty_exhaustive_mask_says_that_the_class_is_nowhere(model, image, tmp_path):
    options = ["--truth", f"car={mask(tmp_path / 'm.png', 0)}", "--extent", "car=exhaustive"]
    ran = segcode("refine", image, *options, "--model", model, "-o", tmp_path / "o")
    assert ran.code == 0, ran.err
    assert not (read(tmp_path / "o" / "street_labels.png") == FOUR.index("car")).any()


def test_an_image_of_one_pixel_is_refined(model, tmp_path):
    image = save(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    ran = segcode("refine", image, "--point", "car=0,0", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert read(tmp_path / "out" / "dot_labels.png").tolist() == [[FOUR.index("car")]]


@pytest.mark.parametrize("pixels", [np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH, 4), np.uint8)])
def test_grey_and_transparent_images_are_images(model, tmp_path, pixels):
    image = save(tmp_path / "street.png", pixels)
    assert segcode("refine", image, "--point", "car=0,0", "--model", model, "-o", tmp_path / "out").code == 0


def test_truth_for_every_pixel_leaves_none_to_change(model, image, tmp_path):
    labels = save(tmp_path / "labels.png", np.zeros(SIZE, np.uint8))
    ran = segcode("refine", image, "--labels", labels, "--model", model, "-o", tmp_path / "out")
    assert "0 of 0 unlabelled pixels changed (0.0 %)" in ran.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no truth is given: add --point CLASS=X,Y"),
        (["--truth", "raod=mask.png"], "no class is called 'raod': did you mean 'road'?"),
        (["--truth", "mask.png"], "--truth is 'mask.png': write the class, = and the value, as in --truth road=mask"),
        (["--truth", "road=missing.png"], "missing.png is missing"),
        (["--truth", "road=large.png"], "large.png is 61 x 40 pixels (width x height), the image 60 x 40: draw it on"),
        (["--truth", "road=mask.jpg"], "mask.jpg is a JPEG, which blurs"),
        (["--truth", "road=one.png", "--soft"], "one.png has no value above 1, but --soft takes 255 for certain"),
        (["--truth", "road=mask.png", "--extent", "car=outline"], "--extent car=outline: it has no mask, polygon or"),
        (["--truth", "road=mask.png", "--extent", "road=whole"], "--extent road=whole: whole is no extent"),
        (["--truth", "road=mask.png", "--extent", "raod=part"], "no class is called 'raod'"),
        (["--truth", "road=mask.png", "--extent", "exhaustive"], "as in --extent road=exhaustive"),
        (["--extent", "road=part"], "no truth is given"),
        (["--labels", "ids.png"], "ids.png has the ids 7, which are neither a class nor void"),
        (["--point", "raod=1,1"], "no class is called 'raod'"),
        (["--labels", "large.png"], "large.png is 61 x 40 pixels"),
        (["--point", "road=60,0"], "--point: x 60, y 0 is outside the image: x goes from 0 to 59, y from 0 to 39"),
        (["--point", "road=1;2"], "'1;2' is no pixel: write X,Y as in 120,80"),
        (["--point", "road=nan,2"], "outside the image"),
        (["--stroke", "road=1,2:3"], "'3' is no pixel"),
        (["--stroke", "road="], "--stroke is 'road='"),
        (["--not", "road"], "--not is 'road'"),
        (["--not", "road=1,99"], "--not: x 1, y 99 is outside the image"),
        (["--polygon", "road=1,1:5,5"], "a polygon of 2 corners has no area"),
        (["--polygon", "road=1,1:99,5:9,9"], "--polygon: x 99, y 5 is outside the image"),
        (["--box", "road=1,1"], "--box: '1,1' has 1 corners: write X0,Y0:X1,Y1"),
        (["--box", "road=1,1:1,5"], "covers no pixel"),
        (["--box", "road=1,1:61,5"], "--box: x 61, y 5 is outside the image: x goes from 0 to 60, y from 0 to 40"),
    ],
)
def test_truth_that_does_not_fit_is_one_line_with_the_cure(model, image, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    mask(tmp_path / "mask.png")
    mask(tmp_path / "mask.jpg")
    mask(tmp_path / "one.png", 1)
    save(tmp_path / "ids.png", np.full(SIZE, 7, np.uint8))
    save(tmp_path / "large.png", np.zeros((HEIGHT, WIDTH + 1), np.uint8))
    ran = segcode("refine", image, *options, "--model", model, "-o", "out")
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert message in ran.err
    assert not (tmp_path / "out").exists()


def test_the_mask_is_never_overwritten(model, image, tmp_path):
    drawn = mask(tmp_path / "street_labels.png")
    ran = segcode("refine", image, "--truth", f"road={drawn}", "--model", model, "-o", tmp_path)
    assert ran.code == 2
    assert "is an input and would be overwritten" in ran.err


def test_a_mask_of_any_value_but_black_is_certain(tmp_path):
    certain = given(masks=[f"car={mask(tmp_path / 'mask.png', 1)}"]).read(SIZE, FOUR)
    assert len(certain) == 300
    assert (certain.weight == 1).all()


@pytest.mark.parametrize("soft", [False, True])
def test_a_transparent_mask_is_refused_and_an_opaque_one_is_a_mask(tmp_path, soft):
    pixels = np.full((*SIZE, 4), 255, np.uint8)
    opaque = save(tmp_path / "opaque.png", pixels)
    assert len(given(masks=[f"car={opaque}"], soft=soft).read(SIZE, FOUR)) == HEIGHT * WIDTH
    pixels[:20, :, 3] = 0
    transparent = save(tmp_path / "mask.png", pixels)
    with pytest.raises(TruthError, match=r"mask\.png is transparent in places.*save it without an alpha channel"):
        given(masks=[f"car={transparent}"], soft=soft).read(SIZE, FOUR)


def test_a_soft_mask_is_a_probability(tmp_path):
    soft = given(masks=[f"car={mask(tmp_path / 'mask.png', 51)}"], soft=True).read(SIZE, FOUR)
    assert soft.weight.tolist() == pytest.approx([0.2] * 300)


def test_points_hold_over_masks_and_masks_over_labels(tmp_path):
    labels = save(tmp_path / "labels.png", np.zeros(SIZE, np.uint8))
    truth = given(labels=labels, masks=[f"car={mask(tmp_path / 'mask.png')}"], points=["sky=15,25"]).read(SIZE, FOUR)
    expected = {(0, 0): "road", (20, 10): "car", (25, 15): "sky"}
    assert {pixel: FOUR.names[truth.labels[pixel]] for pixel in expected} == expected


def test_a_box_covers_x_and_y_up_to_its_second_corner():
    known = given(boxes=["car=10,20:15,22"]).read(SIZE, FOUR).known_mask
    assert known[20:22, 10:15].all()
    assert known.sum() == 10
    assert given(boxes=[f"car=0,0:{WIDTH},{HEIGHT}"]).read(SIZE, FOUR).known_mask.all()


def test_a_stroke_that_excludes_leaves_the_other_classes():
    truth = given(excluded=["car=5,5:9,5"]).read(SIZE, FOUR)
    assert (truth.allowed == (np.arange(4) != FOUR.index("car"))).all()


@pytest.mark.parametrize(
    ("extent", "outlined", "exhaustive"),
    [([], False, False), ("part", False, False), ("outline", True, False), ("exhaustive", True, True)],
)
@pytest.mark.parametrize("kind", ["masks", "labels"])
def test_masks_and_labels_are_parts_unless_another_extent_is_given(tmp_path, kind, extent, outlined, exhaustive):
    drawn = mask(tmp_path / "mask.png")
    labels = save(tmp_path / "labels.png", np.where(read(drawn) > 0, FOUR.index("car"), IGNORE).astype(np.uint8))
    options = {"masks": [f"car={drawn}"]} if kind == "masks" else {"labels": labels}
    truth = given(**options, extents=[f"car={extent}"] if extent else []).read(SIZE, FOUR)
    assert np.array_equal(truth.known_mask, read(drawn) > 0)
    assert (truth.regions is not None) == outlined
    assert truth.exhaustive.tolist() == [name == "car" and exhaustive for name in FOUR.names]


@pytest.mark.parametrize("options", [{"polygons": ["car=5,5:20,5:20,20"]}, {"boxes": ["car=5,5:20,20"]}])
def test_polygons_and_boxes_are_outlines_unless_another_extent_is_given(options):
    assert given(**options).read(SIZE, FOUR).regions is not None
    assert given(**options, extents=["car=part"]).read(SIZE, FOUR).regions is None


def test_the_extent_of_a_class_holds_for_all_its_polygons():
    boxes = ["car=0,0:5,5", "car=20,20:25,25"]
    excluded = given(boxes=boxes, extents=["car=exhaustive"]).read(SIZE, FOUR).excluded()[FOUR.index("car")]
    assert (~excluded).sum() == 50


def test_no_truth_is_false_and_refused():
    assert not given()
    assert all(
        given(**{kind: ["road=1,1"]}) for kind in ("points", "strokes", "excluded", "polygons", "boxes", "masks")
    )
    with pytest.raises(TruthError, match="no truth is given"):
        given().read(SIZE, FOUR)


def test_a_label_image_that_segcode_made_is_no_mask(tmp_path):
    write_labels(tmp_path / "a_labels.png", np.ones(SIZE, np.uint8), FOUR)
    with pytest.raises(TruthError, match=r"a_labels\.png is a picture that segcode made, and no mask: .* --labels"):
        given(masks=[f"car={tmp_path / 'a_labels.png'}"]).read(SIZE, FOUR)
