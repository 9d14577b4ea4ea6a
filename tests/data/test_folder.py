from pathlib import Path

import numpy as np
import pytest
from layouts import make_folder
from pictures import ids, noise, save, to_train_ids
from PIL import Image as Pillow

from segcode.classes import CAMVID, ClassSet
from segcode.data.folder import class_file_text, open_folder, read_class_file, read_partial_labels
from segcode.data.labels import write_labels
from segcode.errors import ConfigError, DataError
from segcode.tensors import IGNORE

TWO = '[[class]]\nname = "a"\ncolour = [0, 0, 0]\n[[class]]\nname = "b"\ncolour = [1, 1, 1]\n'


@pytest.fixture
def folder_root(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


def test_pairs_are_read_with_the_ids_of_the_class_file(folder_root: Path) -> None:
    source = open_folder(folder_root, "all")
    assert source.names == ("a", "b")
    assert source.classes.names == ("road", "car")
    raw = np.asarray(Pillow.open(folder_root / "labels" / "a.png"))
    labels = source[0].labels
    assert labels is not None
    assert np.array_equal(labels, to_train_ids(source.classes, raw))
    assert set(np.unique(labels)) == {0, 1, IGNORE}


def test_splits_are_folders(folder_root: Path) -> None:
    save(folder_root / "images" / "train" / "c.png", noise(0))
    save(folder_root / "labels" / "train" / "c.png", ids(0, [7]))
    assert open_folder(folder_root, "train").names == ("c",)
    with pytest.raises(ConfigError, match=r"no split 'trane': did you mean 'train'\?"):
        open_folder(folder_root, "trane")


def test_without_splits_there_is_only_all(folder_root: Path) -> None:
    with pytest.raises(ConfigError, match="no split 'train': known: all"):
        open_folder(folder_root, "train")


def test_without_a_folder_of_labels_samples_have_none(folder_root: Path) -> None:
    (folder_root / "labels").rename(folder_root / "other")
    assert open_folder(folder_root, "all")[0].labels is None


def test_labels_without_image_and_images_without_labels_are_errors(folder_root: Path) -> None:
    (folder_root / "labels" / "a.png").unlink()
    with pytest.raises(DataError, match=r"labels/a\.png is missing"):
        open_folder(folder_root, "all")[0]
    save(folder_root / "labels" / "z.png", ids(0, [7]))
    with pytest.raises(DataError, match=r"z\.png has no image: add the image or remove it"):
        open_folder(folder_root, "all")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "classes.toml").write_text(TWO)
    with pytest.raises(DataError, match="images has no images"):
        open_folder(tmp_path, "all")


def test_without_ids_the_classes_count_from_0_and_255_is_void(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(TWO)
    assert read_class_file(path).train_ids == {0: 0, 1: 1, IGNORE: IGNORE}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TWO.replace("colour", "color"), r"unknown key 'color': did you mean 'colour'\?"),
        ("viod = [0]\n" + TWO, r"unknown key 'viod': did you mean 'void'\?"),
        ("class = 3", r"'class' must be a list of tables: write \[\[class\]\]"),
        ("", "needs 2 to 255 classes, not 0"),
        (TWO.replace('name = "a"', ""), "class 0: name is .*: Field required"),
        (TWO.replace('"b"', '"a"'), "repeated: a"),
        (TWO.replace("[1, 1, 1]", "[1, 1]"), r"class b: colour.2 is .*: Field required"),
        (TWO.replace("[1, 1, 1]", "[1, 1, 256]"), "class b: colour.2 is 256: .* less than or equal to 255"),
        (TWO + "id = 3", "2 classes have 1 raw ids"),
        (TWO + "id = 300", "class b: id is 300: .* less than or equal to 255"),
        ("void = [1]\n" + TWO, "id 1 has several meanings"),
        ("void = 255\n" + TWO, "void is 255: Input should be a valid array"),
        ("[[class]", "is not valid TOML"),
        (TWO.replace("colour", 'key = "x"\ncolour'), "key 'x' is that of several classes"),
        (TWO.replace('"b"', '"b\\u0000"'), "leave out blanks at its ends and control characters"),
    ],
)
def test_a_wrong_class_file_is_named_with_the_cure(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=rf"classes\.toml.*{message}"):
        read_class_file(path)


def test_a_class_file_that_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(
        """
void = [255, 9]
[[class]]
name = "Straße \\"x\\""
colour = [1, 2, 3]
id = 7
key = "r"
of = ["a", "b"]
was = ["lane"]
[[class]]
name = "new"
id = 3
of = []
"""
    )
    first = read_class_file(path)
    path.write_text(class_file_text(first.tables, first.void))
    assert read_class_file(path) == first


def test_a_missing_class_file_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"classes\.toml is missing: give each class"):
        open_folder(tmp_path, "all")


def test_names_with_dots_other_endings_and_letters_find_their_labels(folder_root: Path) -> None:
    for number, (image, labels) in enumerate(
        [
            ("cam.front.0001.png", "cam.front.0001.png"),
            ("cam.front.0002.png", "cam.front.0002.PNG"),
            ("IMG_1.JPG", "IMG_1.PNG"),
            ("Stra\u00dfe_\u00dc.png", "Stra\u00dfe_U\u0308.png"),
        ]
    ):
        save(folder_root / "images" / image, noise(number))
        save(folder_root / "labels" / labels, np.full((6, 8), (7, 26)[number % 2], np.uint8))
    source = open_folder(folder_root, "all")
    known = {name: source[index].labels for index, name in enumerate(source.names)}
    assert set(known) == {"a", "b", "cam.front.0001", "cam.front.0002", "IMG_1", "Straße_Ü"}
    assert (known["cam.front.0001"] == 0).all()
    assert (known["cam.front.0002"] == 1).all()
    assert (known["IMG_1"] == 0).all()
    assert (known["Straße_Ü"] == 1).all()


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "annotations", "empty", "out"])
def test_folders_that_hold_no_images_of_their_own_are_no_splits(folder_root: Path, folder: str) -> None:
    place = folder_root / "images" / folder
    if folder == ".ipynb_checkpoints":
        save(place / "a-checkpoint.png", noise(0))
    elif folder == "out":
        write_labels(place / "a_labels.png", np.zeros((6, 8), np.uint8), CAMVID)
    else:
        (place / "labels").mkdir(parents=True)
    assert open_folder(folder_root, "all").names == ("a", "b")


def test_images_beside_splits_are_the_split_all(folder_root: Path) -> None:
    save(folder_root / "images" / "train" / "c.png", noise(0))
    save(folder_root / "labels" / "train" / "c.png", ids(0, [7]))
    assert open_folder(folder_root, "all").names == ("a", "b")
    assert open_folder(folder_root, "train").names == ("c",)


def test_our_own_pictures_beside_the_images_are_no_samples(folder_root: Path) -> None:
    write_labels(folder_root / "images" / "a_labels.png", np.zeros((6, 8), np.uint8), CAMVID)
    assert open_folder(folder_root, "all").names == ("a", "b")


def test_training_on_what_the_page_exported_keeps_its_classes(folder_root: Path) -> None:
    trained = ClassSet(("car", "sky", "road"), ((0, 0, 142), (1, 2, 3), (128, 64, 128)))
    for name in ("a", "b"):
        write_labels(folder_root / "labels" / f"{name}.png", np.full((6, 8), 2, np.uint8), trained)
    source = open_folder(folder_root, "all")
    labels = source[0].labels
    assert labels is not None
    assert (labels == source.classes.index("road")).all()


def write_labels_of(folder: Path, content: str) -> Path:
    (folder / "classes.toml").write_text(content)
    return save(folder / "labels" / "a.png", np.array([[0, 1, 2, 255]], np.uint8))


def test_partial_labels_have_the_ids_of_the_class_file_beside_them(tmp_path: Path) -> None:
    path = write_labels_of(tmp_path, 'void = [0]\n[[class]]\nname = "b"\nid = 1\n[[class]]\nname = "a"\nid = 2\n')
    classes = ClassSet(("a", "b"), ((1, 1, 1), (2, 2, 2)))
    assert read_partial_labels(path, (1, 4), classes).labels.tolist() == [[IGNORE, 1, 0, IGNORE]]


def test_partial_labels_without_a_class_file_are_class_indices(tmp_path: Path) -> None:
    path = save(tmp_path / "a" / "b" / "c" / "a.png", np.array([[0, 1, 2, 255]], np.uint8))
    classes = ClassSet(("a", "b", "c"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
    assert read_partial_labels(path, (1, 4), classes).labels.tolist() == [[0, 1, 2, IGNORE]]


def test_partial_labels_of_other_classes_are_refused_with_both(tmp_path: Path) -> None:
    path = write_labels_of(tmp_path, '[[class]]\nname = "sea"\n[[class]]\nname = "sand"\n')
    with pytest.raises(ConfigError, match="names the classes sea, sand, and the model has a, b: give labels of these"):
        read_partial_labels(path, (1, 4), ClassSet(("a", "b"), ((1, 1, 1), (2, 2, 2))))


@pytest.mark.parametrize("name", ["road ", " ", "a\\nb", "a\u00a0b", "Ba\u0308ume"])
def test_a_name_of_a_class_that_looks_like_another_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "classes.toml").write_text(f'[[class]]\nname = "{name}"\n[[class]]\nname = "road"\n')
    with pytest.raises(ConfigError, match="leave out blanks at its ends and control characters"):
        read_class_file(tmp_path / "classes.toml")
