import numpy as np
import pytest
from command_line import FOUR, HEIGHT, WIDTH, files_in, make_model_folder, mask, read, save, segcode, street

from segcode.cli.given_truth import GivenTruth
from segcode.errors import TruthError
from segcode.tensors import IGNORE

SIZE = (HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def image(tmp_path):
    return street(tmp_path / "street.png")


def given(**options) -> GivenTruth:
    nothing = {"masks": [], "complete": [], "soft": False, "labels": None, "points": [], "strokes": [], "radius": 2.0}
    return GivenTruth(**{**nothing, **options})


def test_refining_writes_four_pictures_and_says_what_changed(model, image, tmp_path):
    drawn = mask(tmp_path / "mask.png")
    ran = segcode("refine", image, "--truth", f"car={drawn}", "--model", model, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    endings = ("labels", "overlay", "uncertainty", "before_after")
    assert files_in(tmp_path / "out") == {f"street_{ending}.png" for ending in endings}
    assert (read(tmp_path / "out" / "street_labels.png")[read(drawn) > 0] == FOUR.index("car")).all()
    assert "300 pixels were told; of the other 2100, " in ran.out
    assert "street_before_after.png" in ran.out


def test_every_kind_of_truth_in_one_command(model, image, tmp_path):
    labels = np.full(SIZE, IGNORE, np.uint8)
    labels[:5] = FOUR.index("sky")
    ran = segcode(
        "refine", image, "--truth", f"car={mask(tmp_path / 'mask.png')}", "--complete", "car",
        "--labels", save(tmp_path / "labels.png", labels), "--point", "road=3,39", "--stroke", "sidewalk=50,35:58,38",
        "--radius", 1, "--solver", "gauss_newton", "--energy", "euclidean", "--evidence", 5,
        "--model", model, "-o", tmp_path / "out",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    after = read(tmp_path / "out" / "street_labels.png")
    assert (after[:5] == FOUR.index("sky")).all()
    assert (after == FOUR.index("car")).sum() == 300
    assert after[39, 3] == FOUR.index("road")
    assert after[35, 50] == FOUR.index("sidewalk")


def test_an_empty_mask_changes_nothing_and_says_so(model, image, tmp_path):
    ran = segcode(
        "refine", image, "--truth", f"car={mask(tmp_path / 'm.png', 0)}", "--model", model, "-o", tmp_path / "o"
    )
    assert ran.code == 0
    assert "There was no truth" in ran.out
    assert "0 changed (0.0 %)" in ran.out


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
    assert "of the other 0, 0 changed (0.0 %)" in ran.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no truth is given: add --truth CLASS=MASK.png"),
        (["--truth", "raod=mask.png"], "no class is called 'raod': did you mean 'road'?"),
        (["--truth", "mask.png"], "--truth is 'mask.png': write the class, = and the value, as in --truth road=mask"),
        (["--truth", "road=missing.png"], "missing.png is missing"),
        (["--truth", "road=large.png"], "large.png is 61 x 40 pixels (width x height), the image 60 x 40: draw it on"),
        (["--truth", "road=mask.jpg"], "mask.jpg is a JPEG, which blurs"),
        (["--truth", "road=one.png", "--soft"], "one.png has no value above 1, but --soft takes 255 for certain"),
        (["--truth", "road=mask.png", "--complete", "car"], "--complete car: there is no mask of it"),
        (["--labels", "ids.png"], "ids.png has the ids 7, which are neither a class nor void"),
        (["--point", "raod=1,1"], "no class is called 'raod'"),
        (["--labels", "large.png"], "large.png is 61 x 40 pixels"),
        (["--point", "road=60,0"], "--point: x 60, y 0 is outside the image: x goes from 0 to 59, y from 0 to 39"),
        (["--point", "road=1;2"], "'1;2' is no pixel: write X,Y as in 120,80"),
        (["--point", "road=nan,2"], "outside the image"),
        (["--stroke", "road=1,2:3"], "'3' is no pixel"),
        (["--stroke", "road="], "--stroke is 'road='"),
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


def test_the_number_of_steps_reaches_the_solver(model, image, tmp_path):
    for steps in (1, 50):
        options = ["--stroke", "car=5,5:50,30", "--solver", "levenberg_marquardt", "--steps", steps]
        ran = segcode("refine", image, *options, "--model", model, "-o", tmp_path / "out")
        assert ran.code == 0, ran.err
        assert ("(1 step, cost" in ran.out) == (steps == 1), ran.out


def test_a_mask_may_seem_to_tell_all_of_a_class_and_a_stroke_never_does(model, image, tmp_path):
    painted = np.zeros((HEIGHT, WIDTH), np.uint8)
    painted[10:30, 10:30] = 255
    save(tmp_path / "car.png", painted)
    for given, seems in (
        (("--truth", f"car={tmp_path / 'car.png'}"), True),
        (("--stroke", "car=20,20", "--radius", 10), False),
    ):
        ran = segcode("refine", image, *given, "--model", model, "-o", tmp_path / "out")
        assert ran.code == 0, ran.err
        assert ("Seems to be told as a whole" in ran.out) == seems


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


def test_points_win_over_masks_and_masks_over_labels(tmp_path):
    labels = save(tmp_path / "labels.png", np.zeros(SIZE, np.uint8))
    truth = given(labels=labels, masks=[f"car={mask(tmp_path / 'mask.png')}"], points=["sky=15,25"]).read(SIZE, FOUR)
    classes = {
        tuple(pixel): row.int().argmax().item() for pixel, row in zip(truth.pixels.tolist(), truth.allowed, strict=True)
    }
    assert (classes[0, 0], classes[20, 10], classes[25, 15]) == (
        FOUR.index("road"),
        FOUR.index("car"),
        FOUR.index("sky"),
    )


def test_no_truth_is_false_and_refused():
    assert not given()
    assert given(points=["road=1,1"])
    with pytest.raises(TruthError, match="no truth is given"):
        given().read(SIZE, FOUR)
