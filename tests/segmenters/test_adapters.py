from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn

from other_segmenters import (
    NAMES,
    PREPARED,
    Net,
    class_file,
    save_eomt,
    save_mask2former,
    save_segformer,
    softmax,
    write_onnx,
)
from segcode.classes import CITYSCAPES, ClassSet
from segcode.data.labels import write_labels
from segcode.data.resize import resize_image
from segcode.errors import CheckpointError, ConfigError, DataError, SegcodeError
from segcode.segmenters.from_python import import_segmenter
from segcode.segmenters.named_classes import check_order, classes_of
from segcode.segmenters.specification import open_segmenter
from segcode.tensors import IGNORE

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 61, 3), np.uint8)
DYNAMIC = {"image": {2: "h", 3: "w"}}


def quiet(line: str) -> None:
    """Discard a line."""


def opened(text, **options):
    return open_segmenter(text, report=quiet, **options)


def expected(net: nn.Module, size: tuple[int, int], bgr: bool = False) -> torch.Tensor:
    """The output of a network for the image, prepared as `PREPARED` says."""
    pixels = resize_image(IMAGE, *size)[..., :: -1 if bgr else 1].copy()
    normal = (torch.from_numpy(pixels).float() / 255 - torch.tensor([0.5, 0.4, 0.3])) / 0.25
    with torch.no_grad():
        return net(normal.permute(2, 0, 1)[None])[0]


@pytest.mark.parametrize(("dynamic", "size"), [(None, (32, 64)), (DYNAMIC, (32, 64)), (DYNAMIC, (48, 96))])
def test_an_onnx_network_sees_the_image_as_its_settings_say(tmp_path, dynamic, size):
    path = write_onnx(tmp_path / "net.onnx", Net(), dynamic=dynamic)
    if size != (32, 64):
        path.with_suffix(".toml").write_text(f"{PREPARED}size = {list(size)}\n")
    found = opened(f"onnx:{path}").segmenter.predict(IMAGE).base_logits
    assert np.allclose(found, expected(Net().eval(), size), atol=1e-4)


def test_an_onnx_network_of_blue_first_sees_blue_first(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", Net())
    path.with_suffix(".toml").write_text(PREPARED.replace("rgb", "bgr"))
    found = opened(f"onnx:{path}").segmenter.predict(IMAGE).base_logits
    assert np.allclose(found, expected(Net().eval(), (32, 64), bgr=True), atol=1e-4)


def test_an_onnx_network_with_channels_last_and_a_softmax_is_read_from_its_graph(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", Net(after=nn.Softmax(1), channels_last=True), (1, 32, 64, 3))
    found = opened(f"onnx:{path}").segmenter.predict(IMAGE).base_logits
    assert np.allclose(softmax(found), expected(Net().eval(), (32, 64)).softmax(0), atol=1e-4)


def test_an_onnx_network_of_bytes_gets_bytes(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", Net(), dtype=torch.uint8)
    with pytest.raises(ConfigError, match=r"takes bytes: give white = 255, mean = \[0\.0, 0\.0, 0\.0\]"):
        opened(f"onnx:{path}")
    bytes_ = 'white = 255\nmean = [0.0, 0.0, 0.0]\ndeviation = [1.0, 1.0, 1.0]\nchannels = "rgb"\n'
    path.with_suffix(".toml").write_text(bytes_)
    pixels = torch.from_numpy(resize_image(IMAGE, 32, 64)).permute(2, 0, 1)[None]
    found = opened(f"onnx:{path}").segmenter.predict(IMAGE).base_logits
    assert np.allclose(found, Net().eval()(pixels)[0].detach(), rtol=1e-4, atol=1e-3)


class Exchanged(nn.Module):
    def forward(self, logits):
        return logits.transpose(2, 3)


class ArgMax(nn.Module):
    def forward(self, logits):
        return logits.argmax(1)


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        (Net(), None, r"net.toml is missing: write how the images of .* for instance white = 1, mean = \[0\.485"),
        (Net(), 'channels = "rgb"\n', "net.toml lacks white, mean, deviation: write"),
        (Net(), PREPARED.replace("0.5, 0.4, 0.3", "123.7, 116.3, 103.5"), "for 0..255: give white = 255, or divide"),
        (Net(), PREPARED.replace("white = 1", "white = 255"), "for 0..1: give white = 1, or multiply"),
        (
            Net(),
            PREPARED.replace("0.25, 0.25, 0.25", "58.4, 57.1, 57.4"),
            "deviation is .* for 0..255: give white",
        ),
        (
            Net(after=Exchanged()),
            PREPARED,
            "for 32 rows and 64 columns, so it exchanges them",
        ),
        (Net(), PREPARED.replace("0.25, 0.25, 0.25", "0.25, 0.0, 0.25"), "give numbers above 0"),
        (Net(), PREPARED + 'layout = "nhwc"\n', r"layout is nhwc, but the input of .* is \[1, 3, 32, 64\]"),
        (Net(), PREPARED + "size = [64, 64]\n", r"size is \[64, 64\], but the graph takes \[32, 64\]"),
        (Net(), PREPARED + 'output = "mask"\n', r"output is 'mask', but .* has map tensor\(float\)"),
        (Net(), PREPARED + "sise = [32, 64]\n", "unknown key 'sise': did you mean 'size'"),
        (Net(), PREPARED + 'numbers = "probabilities"\n', "no probabilities, as stated: their sums are not 1"),
        (Net(after=ArgMax()), PREPARED, "no logits or probabilities: export it without arg-max"),
        (Net(classes=5), PREPARED, r"for 4 classes \(road, sidewalk, car, sky\): name them all"),
    ],
)
def test_settings_of_an_onnx_network_that_cannot_be_are_refused_with_the_cure(tmp_path, net, settings, message):
    path = write_onnx(tmp_path / "net.onnx", net)
    path.with_suffix(".toml").unlink()
    if settings is not None:
        path.with_suffix(".toml").write_text(settings)
    with pytest.raises(SegcodeError, match=message):
        opened(f"onnx:{path}").segmenter.predict(IMAGE)


def test_two_statements_of_what_the_numbers_mean_have_to_agree(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", Net())
    path.with_suffix(".toml").write_text(f'{PREPARED}numbers = "probabilities"\n')
    with pytest.raises(ConfigError, match=r"stated as logits, but .*net\.toml says probabilities"):
        opened(f"onnx:{path}", numbers="logits")


def test_a_file_that_is_no_network_is_refused(tmp_path):
    class_file(tmp_path)
    (tmp_path / "net.toml").write_text(PREPARED)
    for content in (None, b"no network"):
        if content is not None:
            (tmp_path / "net.onnx").write_bytes(content)
        with pytest.raises(CheckpointError, match="is no network that ONNX Runtime can load"):
            opened(f"onnx:{tmp_path / 'net.onnx'}")


def test_a_semantic_model_of_transformers_gives_its_logits_and_classes(tmp_path):
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessorPil

    folder = save_segformer(tmp_path / "net")
    found = opened(f"transformers:{folder}")
    assert found.classes.names == NAMES
    inputs = SegformerImageProcessorPil.from_pretrained(folder)(images=IMAGE, return_tensors="pt")
    logits = SegformerForSemanticSegmentation.from_pretrained(folder).eval()(**inputs).logits[0]
    assert np.allclose(found.segmenter.predict(IMAGE).base_logits, logits.detach(), atol=1e-5)


def test_scores_of_a_universal_model_are_those_of_transformers(tmp_path):
    from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessorPil

    folder = save_mask2former(tmp_path / "net")
    found = opened(f"transformers:{folder}").segmenter.predict(IMAGE).base_logits
    processor = Mask2FormerImageProcessorPil.from_pretrained(folder)
    outputs = Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()(
        **processor(images=IMAGE, return_tensors="pt")
    )
    (theirs,) = processor.post_process_semantic_segmentation(
        outputs, [tuple(found.shape[1:])], return_segmentation_scores=True
    )
    scores = theirs.segmentation_scores.detach()
    assert np.allclose(softmax(found), scores / scores.sum(0), atol=0.01)  # they resize to 384 x 384 and back


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("size", [(40, 61), (61, 40)])
def test_windows_and_padding_of_eomt_are_undone(tmp_path, split, size):
    """A model that answers with how bright its pixels are has to show a bright corner in that corner."""
    segmenter = opened(f"transformers:{save_eomt(tmp_path, split)}").segmenter
    image = np.zeros((*size, 3), np.uint8)
    image[-10:, -10:] = 255

    class Brightness(nn.Module):
        def forward(self, pixel_values):
            from transformers.utils import ModelOutput

            bright = 20 * pixel_values.mean(1, keepdim=True) - 10
            masks = torch.cat([bright, -bright], 1)
            classes = torch.full((len(masks), 2, 5), -9.0)
            classes[:, 0, 0] = classes[:, 1, 1] = 9
            return ModelOutput(masks_queries_logits=masks, class_queries_logits=classes)

    segmenter._model = Brightness()
    labels = segmenter.predict(image).base_logits.argmax(0)
    bright = np.argwhere(labels == 0) / labels.shape
    assert bright.min(0) == pytest.approx([1 - 10 / side for side in size], abs=0.06)
    assert bright.max(0) == pytest.approx([1, 1], abs=0.06)


def test_a_folder_without_a_model_and_another_kind_of_model_are_refused(tmp_path):
    from transformers import ResNetConfig

    with pytest.raises(CheckpointError, match="no segmentation model could be read from"):
        opened(f"transformers:{tmp_path}")
    ResNetConfig().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="is a ResNet: give a semantic or universal segmentation model"):
        opened(f"transformers:{tmp_path}")


def test_a_backbone_alone_and_damaged_weights_are_refused(tmp_path):
    """Transformers itself would give the head that is missing random weights, with a warning."""
    from transformers import SegformerForImageClassification, SegformerForSemanticSegmentation

    folder = save_segformer(tmp_path)
    config = SegformerForSemanticSegmentation.from_pretrained(folder).config
    SegformerForImageClassification(config).save_pretrained(folder)
    with pytest.raises(
        CheckpointError, match=r"lacks \d+ weights of a SegformerForSemanticSegmentation, first decode_head"
    ):
        opened(f"transformers:{folder}")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="no segmentation model could be read from"):
        opened(f"transformers:{folder}")


@pytest.fixture
def arrays(tmp_path):
    """Logits of the image "left/a" as .npy and in half precision, and probabilities of "b" as .npz."""
    logits = np.random.default_rng(1).normal(0, 3, (4, 10, 15)).astype(np.float16)
    (tmp_path / "arrays" / "left").mkdir(parents=True)
    np.save(tmp_path / "arrays" / "left" / "a.npy", logits)
    np.savez_compressed(tmp_path / "arrays" / "b.npz", softmax(logits.astype(np.float32)))
    class_file(tmp_path)
    return tmp_path / "arrays"


def test_arrays_are_found_by_the_names_of_the_images_with_their_folders(arrays):
    logits = np.load(arrays / "left" / "a.npy")
    found = opened(f"arrays:{arrays}")
    assert found.purpose == f"the 4 classes road, sidewalk, car, sky ({arrays.parent / 'classes.toml'})"
    assert np.array_equal(found.segmenter.predict(IMAGE, "left/a").base_logits, logits)
    found = opened(f"arrays:{arrays}")
    kept = softmax(found.segmenter.predict(IMAGE, "b").base_logits)
    assert np.allclose(kept, softmax(logits.astype(np.float32)), atol=1e-5)


def test_an_image_without_an_array_is_refused_by_its_name(arrays):
    segmenter = opened(f"arrays:{arrays}").segmenter
    with pytest.raises(DataError, match=r"has no file for the image 'a' \(2 files, first 'b'\): name the files as the"):
        segmenter.predict(IMAGE, "a")
    with pytest.raises(DataError, match="the image has no name to find its file"):
        segmenter.predict(IMAGE)


def test_damaged_arrays_and_those_with_objects_are_refused(arrays):
    (arrays / "c.npy").write_bytes(b"no array")
    np.save(arrays / "d.npy", np.array([{}]))
    np.savez(arrays / "e.npz", a=np.zeros(2), b=np.zeros(3))
    segmenter = opened(f"arrays:{arrays}").segmenter
    for name, message in (("c", "is no array"), ("d", "is no array"), ("e", r"has 2 arrays \(a, b\): keep one a file")):
        with pytest.raises(DataError, match=message):
            segmenter.predict(IMAGE, name)


def test_two_arrays_of_one_name_are_refused(arrays):
    np.savez(arrays / "left" / "a.npz", np.zeros((4, 2, 2)))
    segmenter = opened(f"arrays:{arrays}").segmenter
    with pytest.raises(DataError, match="have one name, 'left/a'"):
        segmenter.predict(IMAGE, "left/a")


def test_images_of_cityscapes_are_known_without_their_ending(arrays):
    (arrays / "b.npz").rename(arrays / "b_leftImg8bit.npz")
    segmenter = opened(f"arrays:{arrays}").segmenter
    expected = segmenter.predict(IMAGE, "b").base_logits
    assert np.array_equal(segmenter.predict(IMAGE, "b_leftImg8bit").base_logits, expected)


@pytest.mark.parametrize("scale", [1, 2])
def test_label_maps_get_the_confidence_and_void_knows_nothing(tmp_path, scale):
    labels = np.random.default_rng(2).integers(0, 4, (20, 31), np.uint8)
    labels[:5] = IGNORE
    write_labels(tmp_path / "labels" / "a.png", labels, classes_of(NAMES))
    found = opened(f"labels:{tmp_path / 'labels'}", classes=str(class_file(tmp_path)), confidence=0.7)
    image = np.zeros((20 * scale, 31 * scale, 3), np.uint8)
    probabilities = softmax(found.segmenter.predict(image, "a").base_logits)
    assert np.allclose(probabilities[:, :5], 0.25)
    row, column = np.indices(labels[5:].shape)
    best = probabilities[:, 5:][labels[5:], row, column]
    assert np.allclose(best, 0.7)
    assert np.allclose(probabilities[:, 5:].sum(0) - best, 0.3)


def test_label_maps_in_colours_and_of_the_data_sets_ids_are_read(tmp_path):
    (tmp_path / "classes.toml").write_text(
        'void = [0]\n[[class]]\nname = "a"\nid = 7\ncolour = [9, 0, 0]\n'
        '[[class]]\nname = "b"\nid = 9\ncolour = [0, 9, 0]\n'
    )
    ids = np.array([[7, 9, 0]], np.uint8)
    Pillow.fromarray(ids).save(tmp_path / "ids.png")
    Pillow.fromarray(np.array([[(9, 0, 0), (0, 9, 0), (0, 0, 0)]], np.uint8)).save(tmp_path / "colours.png")
    segmenter = opened(f"labels:{tmp_path}").segmenter
    for name in ("ids", "colours"):
        logits = segmenter.predict(np.zeros((1, 3, 3), np.uint8), name).base_logits
        assert logits[:, 0, :2].argmax(0).tolist() == [0, 1]
        assert logits[0, 0, 2] == logits[1, 0, 2]


def test_label_maps_of_another_shape_are_refused_with_both_sizes(tmp_path):
    write_labels(tmp_path / "a.png", np.zeros((20, 30), np.uint8), classes_of(NAMES))
    segmenter = opened(f"labels:{tmp_path}", classes=str(class_file(tmp_path))).segmenter
    with pytest.raises(DataError, match=r"a.png is 20 x 30, but its image is 30 x 20"):
        segmenter.predict(np.zeros((30, 20, 3), np.uint8), "a")


@pytest.mark.parametrize("confidence", [0.25, 0.1, 1.0])
def test_a_confidence_that_is_a_guess_or_certainty_is_refused(tmp_path, confidence):
    write_labels(tmp_path / "a.png", np.zeros((2, 3), np.uint8), classes_of(NAMES))
    with pytest.raises(ConfigError, match=r"above 0\.25, which is a guess"):
        opened(f"labels:{tmp_path}", classes=str(class_file(tmp_path)), confidence=confidence)


MODULE = """
import numpy as np

def logits(image):
    return np.stack([image[::4, ::4, 0] / 16.0 - 8, 8 - image[::4, ::4, 0] / 16.0])

class Named:
    classes = ["dark", "bright"]

    def predict(self, image, name=None):
        return {"out": len(name) * logits(image)[None]}

text = "no segmenter"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "thresholds.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_python_functions_and_classes_are_segmenters(module):
    found = opened("python:thresholds.Named")
    assert found.classes.names == ("dark", "bright")
    named = found.segmenter.predict(IMAGE, "ab").base_logits
    plain = opened("python:thresholds.logits", data=found.classes).segmenter.predict(IMAGE).base_logits
    assert np.array_equal(named, 2 * plain)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("onx:net.onnx", {}, "no kind of segmenter is called 'onx': did you mean 'onnx'"),
        ("nowhere", {}, "no folder and no shipped model is called 'nowhere'.* KIND:WHERE"),
        ("python:logits", {}, "write python:MODULE.NAME"),
        ("python:thresholds.text", {}, "is a str: name a function from an image to logits"),
        ("python:thresholds.logits", {}, "does not say its classes: give --classes"),
        ("python:thresholds.Named", {"classes": "camvit"}, "called 'camvit': did you mean 'camvid'"),
        ("python:thresholds.Named", {"confidence": 0.5}, "is for labels:DIR"),
        ("camvid", {"numbers": "logits"}, "are for arrays, ONNX and Python"),
        ("camvid", {"classes": "cityscapes"}, "has its classes: leave out"),
        ("arrays:nowhere", {"classes": "camvid"}, r"nowhere is no folder with files \(.npy, .npz\)"),
    ],
)
def test_what_names_no_segmenter_is_refused_with_the_cure(module, text, options, message):
    with pytest.raises(SegcodeError, match=message):
        opened(text, **options)


def test_more_classes_than_the_output_has_are_refused(module):
    segmenter = opened("python:thresholds.logits", classes="camvid").segmenter
    with pytest.raises(DataError, match="so it has 2 classes, but 11 are named"):
        segmenter.predict(IMAGE)


def test_classes_in_another_order_than_the_segmenters_own_are_refused(module, tmp_path):
    def named(*names):
        return opened("python:thresholds.Named", classes=str(class_file(tmp_path, names).parent)).classes.names

    assert named("night", "day") == ("night", "day")
    with pytest.raises(ConfigError, match=r"'dark' is class 0 of 'python:thresholds.Named', but class 1 of"):
        named("bright", "dark")
    with pytest.raises(ConfigError, match=r"has 2 classes, .* 3: leave out"):
        named("bright", "dark", "grey")


def test_names_of_a_known_class_set_get_its_colours_and_repeated_names_their_index():
    assert classes_of(CITYSCAPES.names) is CITYSCAPES
    made = classes_of(["a", "b", "a"])
    assert made.names == ("a", "b", "a (2)")
    assert len(set(made.colours)) == 3


@pytest.mark.parametrize("names", [("Sky", "ROAD"), ("sky ", "road_"), ("c", "c++")])
def test_another_spelling_of_a_name_is_the_same_class(names):
    own = ClassSet(names, ((1, 1, 1), (2, 2, 2)))
    check_order(own, own, "net", "file")
    swapped = ClassSet({"c": ("c++", "c")}.get(names[0], ("road", "sky")), own.colours)
    with pytest.raises(ConfigError, match="is class 0 of 'net', but class 1 of file"):
        check_order(own, swapped, "net", "file")


def test_two_files_of_one_image_are_refused_whatever_their_endings(tmp_path):
    for name in ("a.png", "a_leftImg8bit.png"):
        Pillow.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / name)
    segmenter = opened(f"labels:{tmp_path}", classes="camvid").segmenter
    with pytest.raises(DataError, match="have one name, 'a': rename or remove all but one"):
        segmenter.predict(np.zeros((2, 3, 3), np.uint8), "a")


def test_a_label_map_of_void_alone_is_reported(tmp_path):
    Pillow.fromarray(np.full((2, 3), 255, np.uint8)).save(tmp_path / "a.png")
    lines = []
    open_segmenter(f"labels:{tmp_path}", classes="camvid", report=lines.append).segmenter.predict(
        np.zeros((2, 3, 3), np.uint8), "a"
    )
    assert "a.png is void everywhere" in lines[0]


@pytest.mark.parametrize("code", ["1 / 0", "def f(:", "class f:\n    def __init__(self): raise OSError('closed')"])
def test_a_module_that_fails_is_refused_with_the_reason(tmp_path, monkeypatch, code):
    monkeypatch.chdir(tmp_path)
    name = f"failing_{len(code)}"
    (tmp_path / f"{name}.py").write_text(code)
    with pytest.raises(ConfigError, match=rf"python:{name}\.f fails \((ZeroDivision|Syntax|OS)Error: .* line \d+\)"):
        import_segmenter(f"{name}.f")


def test_a_model_of_transformers_whose_classes_are_not_numbered_from_0_is_refused(tmp_path):
    config = save_segformer(tmp_path / "net") / "config.json"
    content = json.loads(config.read_text())
    content["id2label"] = {str(number): name for number, name in enumerate(NAMES, 1)}
    config.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="numbers the classes 1, 2, 3, 4: number them from 0 to 3"):
        opened(f"transformers:{tmp_path / 'net'}")
