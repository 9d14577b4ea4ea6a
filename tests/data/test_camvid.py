import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import make_original, make_segnet
from pictures import HEIGHT, WIDTH, ids, noise, save
from PIL import Image as Pillow

from segcode.classes import CAMVID
from segcode.data.camvid import ORIGINAL, open_camvid
from segcode.errors import ConfigError, DataError
from segcode.tensors import IGNORE

MERGED = {
    "sky": ("Sky",),
    "building": ("Building", "Archway", "Bridge", "Tunnel", "Wall"),
    "pole": ("Column_Pole", "TrafficCone"),
    "road": ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    "sidewalk": ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    "tree": ("Tree", "VegetationMisc"),
    "sign": ("SignSymbol", "Misc_Text", "TrafficLight"),
    "fence": ("Fence",),
    "car": ("Car", "OtherMoving", "SUVPickupTruck", "Train", "Truck_Bus"),
    "pedestrian": ("Pedestrian", "Animal", "CartLuggagePram", "Child"),
    "bicyclist": ("Bicyclist", "MotorcycleScooter"),
}


@pytest.fixture
def segnet_root(tmp_path: Path) -> Path:
    return make_segnet(tmp_path)


@pytest.fixture
def original_root(tmp_path: Path) -> Path:
    return make_original(tmp_path)


def test_names_are_file_stems_in_natural_order(segnet_root: Path) -> None:
    source = open_camvid(segnet_root, "train")
    assert source.names == ("0001TP_2", "0001TP_10")
    assert [source[i].name for i in range(len(source))] == list(source.names)
    assert source.classes == CAMVID


def test_label_11_is_void_and_the_others_stay(segnet_root: Path) -> None:
    raw = np.asarray(Pillow.open(segnet_root / "trainannot" / "0001TP_2.png"))
    labels = open_camvid(segnet_root, "train")[0].labels
    assert labels is not None
    assert np.array_equal(labels, np.where(raw == 11, IGNORE, raw))


def test_labels_without_their_image_are_named(segnet_root: Path) -> None:
    (segnet_root / "train" / "0001TP_2.png").unlink()
    with pytest.raises(DataError, match=r"0001TP_2\.png has no image: add the image or remove it"):
        open_camvid(segnet_root, "train")


def test_an_image_without_its_labels_is_named_when_it_is_read(segnet_root: Path) -> None:
    (segnet_root / "trainannot" / "0001TP_2.png").unlink()
    source = open_camvid(segnet_root, "train")
    assert source[1].name == "0001TP_10"
    with pytest.raises(DataError, match=r"trainannot/0001TP_2\.png is missing"):
        source[0]


def test_labels_of_another_size_are_refused_with_both_sizes(segnet_root: Path) -> None:
    save(segnet_root / "trainannot" / "0001TP_2.png", ids(0, [0], HEIGHT, WIDTH + 1))
    with pytest.raises(DataError, match=r"0001TP_2\.png is 6 x 9, but its image .* is 6 x 8"):
        open_camvid(segnet_root, "train")[0]


def test_an_unknown_split_gives_the_nearest(segnet_root: Path) -> None:
    with pytest.raises(ConfigError, match=r"no split 'trian': did you mean 'train'\?"):
        open_camvid(segnet_root, "trian")


def test_a_split_without_labels_is_named_with_the_folders_that_it_may_have(segnet_root: Path) -> None:
    (segnet_root / "valannot").rename(segnet_root / "val_annotations")
    with pytest.raises(DataError, match=r"has val/ and no labels: add valannot/ \(SegNet's ids\) or val_labels/"):
        open_camvid(segnet_root, "val")


def test_labels_in_colours_beside_the_splits_are_read(segnet_root: Path) -> None:
    shutil.rmtree(segnet_root / "valannot")
    colours = np.array([[ORIGINAL["Sky"][0], ORIGINAL["Void"][0]] * 4] * 6, np.uint8)
    save(segnet_root / "val_labels" / "0016E5_1_L.png", colours)
    labels = open_camvid(segnet_root, "val")[0].labels
    assert labels is not None
    assert labels[0, :2].tolist() == [CAMVID.index("sky"), IGNORE]


def test_a_split_without_images_is_an_error(segnet_root: Path) -> None:
    (segnet_root / "test").mkdir()
    with pytest.raises(DataError, match="test has no images"):
        open_camvid(segnet_root, "test")


def test_a_folder_that_is_not_camvid_is_told_what_it_should_have(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it should have train/ and trainannot/"):
        open_camvid(tmp_path, "train")


def test_two_images_of_one_name_are_an_error(segnet_root: Path) -> None:
    shutil.copy(segnet_root / "val" / "0016E5_1.png", segnet_root / "val" / "0016E5_1.bmp")
    with pytest.raises(DataError, match="have one name, '0016E5_1': rename or remove all but one"):
        open_camvid(segnet_root, "val")


def test_the_original_form_is_one_split_without_lists(original_root: Path) -> None:
    assert open_camvid(original_root, "all").names == ("0001TP_1", "0006R0_2", "Seq05VD_f3")
    with pytest.raises(ConfigError, match=r"train\.txt is missing: list the images of 'train' in it"):
        open_camvid(original_root, "train")
    with pytest.raises(ConfigError, match=r"no split 'alll': did you mean 'all'\?"):
        open_camvid(original_root, "alll")


def test_lists_choose_the_splits_of_the_original_form(original_root: Path) -> None:
    (original_root / "val.txt").write_text("Seq05VD_f3.png\n\n0001TP_1\n")
    assert open_camvid(original_root, "val").names == ("Seq05VD_f3", "0001TP_1")


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
def test_a_list_may_be_of_any_bytes(original_root: Path, begin: bytes) -> None:
    (original_root / "train.txt").write_bytes(begin + b"0001TP_1\r\n")
    assert open_camvid(original_root, "train").names == ("0001TP_1",)
    (original_root / "train.txt").write_bytes(begin + b"caf\xe9\r\n")
    with pytest.raises(DataError, match="which is no image"):
        open_camvid(original_root, "train")


def test_a_list_that_names_no_image_gives_the_nearest(original_root: Path) -> None:
    (original_root / "val.txt").write_text("Seq05VD_f4\n")
    with pytest.raises(DataError, match=r"val\.txt names 'Seq05VD_f4', .* did you mean 'Seq05VD_f3'\?"):
        open_camvid(original_root, "val")


def test_every_original_class_but_void_is_merged_once() -> None:
    merged = [original for originals in MERGED.values() for original in originals]
    assert sorted([*merged, "Void"]) == sorted(ORIGINAL)
    assert tuple(MERGED) == CAMVID.names
    assert len({colour for colour, _ in ORIGINAL.values()}) == 32


@pytest.mark.parametrize("original", ORIGINAL)
def test_each_original_colour_becomes_its_class(original_root: Path, original: str) -> None:
    colour = np.array(ORIGINAL[original][0], np.uint8)
    save(original_root / "LabeledApproved_full" / "0001TP_1_L.png", np.tile(colour, (HEIGHT, WIDTH, 1)))
    expected = next((CAMVID.index(name) for name, group in MERGED.items() if original in group), IGNORE)
    labels = open_camvid(original_root, "all")[0].labels
    assert labels is not None
    assert (labels == expected).all()


def test_both_forms_agree_on_the_classes_that_keep_their_colour(original_root: Path, tmp_path: Path) -> None:
    labels = ids(3, list(range(11)))
    save(original_root / "LabeledApproved_full" / "0001TP_1_L.png", CAMVID.colourise(labels))
    save(tmp_path / "segnet" / "val" / "0001TP_1.png", noise(0))
    save(tmp_path / "segnet" / "valannot" / "0001TP_1.png", labels)
    original, segnet = open_camvid(original_root, "all")[0].labels, open_camvid(tmp_path / "segnet", "val")[0].labels
    assert original is not None
    assert np.array_equal(original, labels)
    assert np.array_equal(original, segnet)
