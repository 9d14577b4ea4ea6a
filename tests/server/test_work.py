from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from browser_side import FOUR, png

from segcode.data.files import find_images
from segcode.data.labels import write_labels
from segcode.errors import ConfigError
from segcode.server.journal import Entry
from segcode.server.library import Library, Limits
from segcode.server.marks import Brush
from segcode.server.studio import Progress, Studio
from segcode.server.work import find_work, refuse_foreign, tidy, without_outputs


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def save(path: Path, seed: int, size: tuple[int, int] = (40, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed, size))
    return path


def started(work: Path, *images: Path | str) -> Studio:
    """A studio as the command line starts it."""
    library = Library(find_images(images), work / "uploads", Limits())
    find_work(work, library.all())
    studio = Studio(lambda _: np.zeros((4, 5, 5)), FOUR, library, work, 2**30)
    tidy(studio)
    return studio


def paint(studio: Studio, name: str, mark: str) -> None:
    studio.image(name).journal.append(Entry(mark=Brush(id=mark, label=1, radius=2, points=((3, 4),))))


def marks(studio: Studio) -> dict[str, list[str]]:
    found = {one.name: studio.image(one.name).document.marks for one in studio.library.all()}
    return {name: [mark.id for mark in made] for name, made in found.items() if made}


def test_work_is_found_again_when_images_of_another_folder_are_added(work, tmp_path):
    save(tmp_path / "ph/day1/x.png", 1)
    paint(started(work, tmp_path / "ph/day1"), "x", "one")
    save(tmp_path / "ph/day2/x.png", 2)
    both = started(work, tmp_path / "ph/day1", tmp_path / "ph/day2")
    assert marks(both) == {"day1/x": ["one"]}
    paint(both, "day2/x", "two")
    assert marks(started(work, tmp_path / "ph/day2")) == {"x": ["two"]}
    assert marks(started(work, tmp_path / "ph/*/*.png")) == {"day1/x": ["one"], "day2/x": ["two"]}


def test_work_follows_images_that_change_their_names_in_a_circle(work, tmp_path):
    for number in range(3):
        save(tmp_path / f"ph/frame_{number}.png", number)
    studio = started(work, tmp_path / "ph")
    for number in range(3):
        paint(studio, f"frame_{number}", str(number))
    for number in range(3):
        (tmp_path / f"ph/frame_{number}.png").rename(tmp_path / f"ph/new_{(number - 1) % 3}")
    for number in range(3):
        (tmp_path / f"ph/new_{number}").rename(tmp_path / f"ph/frame_{number}.png")
    assert marks(started(work, tmp_path / "ph")) == {f"frame_{n}": [str((n + 1) % 3)] for n in range(3)}


def test_work_on_copies_of_one_image_goes_to_the_most_similar_names(work, tmp_path):
    for name in ("a/x.png", "a/y.png", "a/z.png"):
        save(tmp_path / "ph" / name, 1)
    studio = started(work, tmp_path / "ph/a")
    for name in "yz":
        paint(studio, name, name)
    save(tmp_path / "ph/b/w.png", 2)
    assert marks(started(work, tmp_path / "ph/*/*.png")) == {"a/y": ["y"], "a/z": ["z"]}


def test_work_does_not_go_to_one_of_several_copies_with_other_file_names(work, tmp_path):
    for name in "xyz":
        save(tmp_path / f"ph/{name}.png", 1)
    paint(started(work, tmp_path / "ph"), "x", "one")
    (tmp_path / "ph/x.png").unlink()
    assert marks(started(work, tmp_path / "ph")) == {}
    (tmp_path / "ph/z.png").unlink()
    assert marks(started(work, tmp_path / "ph")) == {"y": ["one"]}


def test_labels_and_truth_go_with_the_journal(work, tmp_path):
    save(tmp_path / "ph/day1/x.png", 1)
    studio = started(work, tmp_path / "ph/day1")
    studio.image("x").journal.append(Entry(done=True))
    for path in (*studio.finished("x"), *studio.before("x")):
        save(path, 0)
    save(tmp_path / "ph/day2/x.png", 2)
    both = started(work, tmp_path / "ph/*/*.png")
    assert all(path.exists() for path in (*both.finished("day1/x"), *both.before("day1/x")))
    assert not any(path.exists() for path in (*both.finished("x"), *both.before("x")))


def test_work_on_another_image_is_moved_aside_and_found_again(work, tmp_path):
    save(tmp_path / "a/x.png", 1)
    paint(started(work, tmp_path / "a"), "x", "one")
    save(tmp_path / "b/y.png", 2)
    paint(started(work, tmp_path / "b"), "y", "two")
    (tmp_path / "b/y.png").rename(tmp_path / "b/x.png")
    assert marks(started(work, tmp_path / "b")) == {"x": ["two"]}
    assert marks(started(work, tmp_path / "a")) == {"x": ["one"]}


@pytest.mark.parametrize("journal", [True, False])
def test_labels_of_images_that_are_not_done_are_removed_at_start(work, tmp_path, journal):
    save(tmp_path / "ph/x.png", 1)
    studio = started(work, tmp_path / "ph")
    if journal:
        paint(studio, "x", "one")
    for path in studio.finished("x"):
        write_labels(path, np.zeros((40, 60), np.uint8), FOUR)
    studio = started(work, tmp_path / "ph")
    assert not any(path.exists() for path in studio.finished("x"))


def test_labels_that_another_program_made_are_never_removed(work, tmp_path):
    save(tmp_path / "ph/x.png", 1)
    studio = started(work, tmp_path / "ph")
    paint(studio, "x", "one")
    kept = [save(path, 0) for path in studio.finished("x")]
    started(work, tmp_path / "ph")
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize("kind", ["labels", "truth", "first", "initial"])
def test_a_folder_with_labels_of_others_is_no_folder_of_work(work, kind):
    save(work / kind / "x.png", 1)
    with pytest.raises(ConfigError, match=f"{kind} is not of this page.* give -o another folder"):
        refuse_foreign(work)
    (work / "journals").mkdir()
    refuse_foreign(work)


def test_a_name_too_long_for_a_journal_leaves_the_others(work, tmp_path):
    for name in ("x", "y" * 250):
        save(tmp_path / f"ph/{name}.png", len(name))
    studio = started(work, tmp_path / "ph")
    states = {one.name[0]: studio.progress(one.name) for one in studio.library.all()}
    assert states["x"] == Progress("untouched")
    assert states["y"].state == "untouched"
    assert "choose a shorter one" in states["y"].problem
    paint(studio, "x", "one")
    (tmp_path / "ph/x.png").rename(tmp_path / f"ph/{'z' * 250}.png")
    started(work, tmp_path / "ph")
    (tmp_path / f"ph/{'z' * 250}.png").rename(tmp_path / "ph/z.png")
    (tmp_path / f"ph/{'y' * 250}.png").unlink()
    assert marks(started(work, tmp_path / "ph")) == {"z": ["one"]}


def test_labels_of_images_that_are_not_listed_or_whose_journal_is_damaged_stay(work, tmp_path):
    save(tmp_path / "ph/x.png", 1)
    studio = started(work, tmp_path / "ph")
    paint(studio, "x", "one")
    studio.log("x").write_text("nonsense\n")
    kept = [*studio.finished("x"), *studio.finished("other")]
    for path in kept:
        save(path, 0)
    started(work, tmp_path / "ph")
    assert all(path.exists() for path in kept)


def test_files_that_were_never_finished_are_removed_at_start(work, tmp_path):
    save(tmp_path / "ph/x.png", 1)
    for kind in ("labels", "truth", "uploads"):
        (work / kind).mkdir(parents=True)
        (work / kind / ".segcode-0a1b2c3d").write_bytes(b"half")
    started(work, tmp_path / "ph")
    assert [path for path in work.rglob("*") if path.is_file()] == []


def test_outputs_of_the_page_are_no_images(work, tmp_path):
    image = save(tmp_path / "run/x.png", 1)
    own = tmp_path / "run/annotations"
    paint(started(own, image), "x", "one")
    shutil.copytree(own / "journals", tmp_path / "run/other work/journals")
    for folder in ("annotations/labels", "annotations/truth/deep", "annotations/uploads", "other work/labels"):
        save(tmp_path / "run" / folder / "y.png", 2)
    elsewhere = save(tmp_path / "run/labels/z.png", 3)
    found = find_images([tmp_path / "run/**/*.png"])
    assert len(found) == 6
    assert without_outputs(found, own) == [elsewhere, image]
