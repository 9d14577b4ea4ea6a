from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from layouts import make_segnet
from pictures import InMemory, ids, noise, save, truncate
from PIL import Image as Pillow

from segcode.data.camvid import open_camvid
from segcode.data.check import Size, check
from segcode.data.folder import open_folder
from segcode.data.pairs import in_both, summary_of_notes
from segcode.data.select import Subset
from segcode.errors import DataError
from segcode.sample import Sample
from segcode.tensors import IGNORE


def labelled(name: str, *labels: int) -> Sample:
    return Sample(name, noise(0, 1, len(labels)), np.array([labels], np.uint8))


def test_a_sound_source_is_counted() -> None:
    report = check(InMemory([labelled("a", 0, 0, 3, IGNORE), labelled("b", 3, 3, 3, 3)]))
    assert report.problems == report.unlabelled == ()
    assert report.sizes == {Size(1, 4): 2}
    assert report.pixels.tolist() == [2, 0, 0, 5, *[0] * 7]
    assert report.images.tolist() == [1, 0, 0, 2, *[0] * 7]
    assert report.shares[[0, 3]] == pytest.approx([2 / 7, 5 / 7])
    assert report.void_share == pytest.approx(1 / 8)


def test_every_problem_is_reported(tmp_path: Path) -> None:
    make_segnet(tmp_path)
    for number in range(3):
        save(tmp_path / "train" / f"x{number}.png", noise(0, 40, 40))
        save(tmp_path / "trainannot" / f"x{number}.png", ids(0, [0], 40, 40))
    truncate(tmp_path / "train" / "x0.png")
    save(tmp_path / "trainannot" / "x1.png", ids(0, [99], 40, 40))
    (tmp_path / "trainannot" / "x2.png").unlink()
    report = check(open_camvid(tmp_path, "train"))
    assert [problem.name for problem in report.problems] == ["x0", "x1", "x2"]
    reasons = ("x0.png is damaged", "x1.png has the ids 99", "x2.png is missing")
    assert all(reason in problem.problem for reason, problem in zip(reasons, report.problems, strict=True))
    assert report.sizes == {Size(6, 8): 2}


def test_missing_labels_are_listed_and_no_problem() -> None:
    report = check(InMemory([Sample("a", noise(0)), labelled("b", 1)]))
    assert report.unlabelled == ("a",)
    assert report.problems == ()
    assert len(report.sizes) == 2


def test_a_repeated_name_is_a_problem() -> None:
    report = check(InMemory([labelled("a", 1), labelled("a", 2)]))
    assert [problem.problem for problem in report.problems] == ["'a' names 2 samples: names must differ"]


def test_a_source_without_labels_has_no_shares() -> None:
    report = check(InMemory([Sample("a", noise(0))]))
    assert not report.shares.any()
    assert report.void_share == 0


def test_progress_sees_every_sample() -> None:
    seen = []

    def watch(findings):
        for found in findings:
            seen.append(found.name)
            yield found

    check(InMemory([labelled("a", 1), DataError("damaged"), labelled("b", 1)]), watch)
    assert seen == ["a", "damaged_1", "b"]


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 255)))
def test_every_pixel_is_counted_once(labels: np.ndarray) -> None:
    report = check(InMemory([Sample("a", np.zeros((*labels.shape, 3), np.uint8), labels)]))
    assert report.pixels.sum() + report.void_pixels == labels.size
    assert report.void_pixels == (labels >= len(report.classes)).sum()


def test_what_is_unusual_but_readable_is_noted_and_no_problem(tmp_path: Path) -> None:
    make_segnet(tmp_path)
    exif = Pillow.Exif()
    exif[0x0112] = 3
    Pillow.fromarray(noise(0)).save(tmp_path / "train" / "0001TP_2.png", exif=exif)
    report = check(open_camvid(tmp_path, "train"))
    assert report.problems == ()
    assert [found.name for found in report.noted] == ["0001TP_2"]
    assert "0001TP_2.png is turned as its EXIF orientation 3 says" in report.noted[0].notes[0]


def test_the_notes_of_a_source_are_counted_and_the_first_is_given(tmp_path: Path) -> None:
    make_segnet(tmp_path)
    source = open_camvid(tmp_path, "train")
    assert summary_of_notes(source) is summary_of_notes(InMemory([labelled("a", 0)])) is None
    for pair in source.pairs:
        exif = Pillow.Exif()
        exif[0x0112] = 3
        Pillow.fromarray(noise(0)).save(pair.image, exif=exif)
    first = "0001TP_2.png is turned as its EXIF orientation 3 says"
    assert f"2 of 2 samples have unusual files, the first: {tmp_path}/train/{first}" in str(summary_of_notes(source))
    part = Subset(Subset(source, source.names[::-1]), [source.names[1]])
    assert "1 of 1 samples have unusual files" in str(summary_of_notes(part))
    assert "0001TP_10.png" in str(summary_of_notes(part))


def test_a_label_file_that_is_turned_is_noted(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x112] = 3
    save(tmp_path / "images" / "a.png", noise(0))
    (tmp_path / "labels").mkdir()
    Pillow.fromarray(ids(0, [0, 1])).save(tmp_path / "labels" / "a.png", exif=exif)
    (tmp_path / "classes.toml").write_text('[[class]]\nname = "a"\n[[class]]\nname = "b"\n')
    report = check(open_folder(tmp_path, "all"))
    assert not report.problems
    assert "labels/a.png is turned as its EXIF orientation 3 says" in report.noted[0].notes[0]


def test_images_that_two_splits_have_are_found_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "classes.toml").write_text('[[class]]\nname = "a"\n[[class]]\nname = "b"\n')
    for name, seed in (("train/0", 0), ("train/1", 1), ("val/0", 1), ("val/1", 2)):
        save(tmp_path / "images" / f"{name}.png", noise(seed))
    training, validation = open_folder(tmp_path, "train"), open_folder(tmp_path, "val")
    assert in_both(validation, training) == [tmp_path / "images" / "val" / "0.png"]
    assert in_both(Subset(validation, ["1"]), training) == []
    assert in_both(InMemory([]), training) == []
