from __future__ import annotations

import errno
import gzip
import json
import os
import re
import resource
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from segcode.errors import DataError
from segcode.server.journal import Document, Entry, Journal, ReplacedError, read_log
from segcode.server.library import Photograph
from segcode.server.marks import WIDEST, Brush, Region, Reset, Start


def stroke(name: str) -> Entry:
    return Entry(mark=Brush(id=name, label=1, radius=2, points=((3, 4),)))


UNDO, REDO = Entry(step="undo"), Entry(step="redo")


def document(*entries: Entry) -> Document:
    made = Document()
    for entry in entries:
        made.apply(entry)
    return made


def ids(made: Document) -> list[str]:
    return [mark.id for mark in made.marks]


@pytest.fixture
def journal(tmp_path):
    return journal_of(tmp_path, b"pixels")


def journal_of(
    folder: Path, content: bytes, size: tuple[int, int] = (40, 60), classes: tuple[str, ...] = ("road", "sky")
) -> Journal:
    image = folder / "image.png"
    if not image.exists() or image.read_bytes() != content:
        image.write_bytes(content)
    stamp = Photograph("image", image, size).stamp_now()
    return Journal(folder / "deep" / "image.jsonl", Photograph("image", image, size, stamp), classes)


def test_undo_and_redo_walk_along_the_marks():
    made = document(stroke("a"), stroke("b"), UNDO)
    assert ids(made) == ["a"]
    assert (made.can_undo, made.can_redo) == (True, True)
    made.apply(REDO)
    assert ids(made) == ["a", "b"]
    assert not made.can_redo


def test_undo_has_no_end():
    names = [str(number) for number in range(500)]
    made = document(*map(stroke, names), *[UNDO] * 500)
    assert (ids(made), made.can_undo, made.state) == ([], False, "untouched")
    for _ in names:
        made.apply(REDO)
    assert ids(made) == names


def test_undo_and_redo_of_nothing_change_nothing():
    made = document(UNDO, REDO, stroke("a"), REDO)
    assert ids(made) == ["a"]
    assert ids(document(stroke("a"), UNDO, UNDO, stroke("b"))) == ["b"]


def test_a_mark_counts_once():
    assert ids(document(stroke("a"), stroke("a"))) == ["a"]
    assert ids(document(stroke("a"), UNDO, stroke("a"))) == []


def test_a_new_mark_drops_what_was_undone():
    made = document(stroke("a"), stroke("b"), UNDO, stroke("c"))
    assert ids(made) == ["a", "c"]
    assert not made.can_redo
    made.apply(REDO)
    assert ids(made) == ["a", "c"]


def test_the_state_follows_the_marks_until_it_is_done():
    assert Document().state == "untouched"
    made = document(stroke("a"))
    assert made.state == "in work"
    made.apply(Entry(done=True))
    assert made.state == "done"
    made.apply(Entry(done=False))
    assert made.state == "in work"
    for changing in (stroke("b"), Entry(step="undo"), Entry(step="redo")):
        made.apply(Entry(done=True))
        made.apply(changing)
        assert made.state == "in work"
    made.apply(Entry(done=True))
    made.apply(Entry(step="redo"))  # of nothing
    assert made.state == "done"


MARKS = [
    Brush(label=None, radius=2, points=((3, 4),)),
    Region(label=1, size=(2, 2), runs=(1, 3), extent="exhaustive"),
    Start(seed=3, index=1),
    Reset(),
]


def finished(by: str) -> Entry:
    return Entry(done=True, by=by)


def reviewed(review: str, by: str) -> Entry:
    return Entry.model_validate({"review": review, "by": by})


def test_what_is_done_is_accepted_or_sent_back_until_it_is_finished_again():
    made = document(stroke("a"), finished("Ann"), reviewed("accepted", "Bob"))
    assert (made.state, made.done, made.finished_by) == ("accepted", True, "Ann")
    made.apply(finished("Bob"))  # which it is already
    assert (made.state, made.finished_by) == ("accepted", "Ann")
    made.apply(reviewed("sent back", "Bob"))
    assert (made.state, made.done, made.finished_by) == ("sent back", False, None)
    made.apply(stroke("b"))
    assert made.state == "sent back"
    made.apply(finished("Cem"))
    assert (made.state, made.finished_by, made.first_finished_by) == ("done", "Cem", "Ann")


def test_a_change_of_what_was_accepted_takes_it_back_into_work_of_whoever_finished_it():
    made = document(stroke("a"), finished("Ann"), reviewed("accepted", "Bob"), UNDO)
    assert (made.state, made.finished_by) == ("untouched", "Ann")
    made = document(stroke("a"), finished("Ann"), reviewed("accepted", "Bob"), Entry(done=False))
    assert (made.state, made.finished_by) == ("in work", None)


def test_nobody_accepts_what_they_finished_and_nobody_without_a_name_reviews():
    with pytest.raises(DataError, match="nobody has called this image done"):
        document(stroke("a")).check_review("accepted", "Bob")
    ann = document(stroke("a"), finished("Ann"))
    with pytest.raises(DataError, match="Ann has called this image done: somebody else has to accept it"):
        ann.check_review("accepted", "Ann")
    ann.check_review("sent back", "Ann")
    ann.check_review("accepted", "Bob")
    document(stroke("a"), finished("")).check_review("accepted", "Bob")
    for review in ("accepted", "sent back"):
        with pytest.raises(DataError, match="a review needs your name"):
            document(stroke("a"), finished("")).check_review(review, "")
    with pytest.raises(DataError, match="nobody has called"):
        document(stroke("a"), finished("Ann"), reviewed("sent back", "Bob")).check_review("accepted", "Bob")


def test_every_line_has_a_name_and_a_time_in_utc(journal):
    for entry in (stroke("a"), Entry(flagged=True, by="Ann\x1b[2J "), UNDO):
        journal.append(entry)
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()[1:]]
    assert [line["by"] for line in lines] == ["", "Ann[2J", ""]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["at"]) for line in lines)
    assert list(journal.read().people) == ["Ann[2J", ""]  # the latest last


def test_a_log_is_read_without_its_image(journal):
    assert read_log(journal.path) is None
    entries = [stroke("a"), finished("Ann")]
    journal.append(*entries)
    journal.path.with_name("image.png").unlink(missing_ok=True)
    log = read_log(journal.path)
    assert log is not None
    assert (log.entries, log.head.classes, log.document().state) == (entries, ("road", "sky"), "done")
    assert Path(log.head.path).name == "image.png"


def test_what_was_written_is_read_again(journal):
    entries = [*(Entry(mark=mark) for mark in MARKS), UNDO, Entry.model_validate({"mark": MARKS[0]}), Entry(done=True)]
    for entry in entries:
        journal.append(entry)
    read = journal.read()
    assert read.marks == document(*entries).marks == MARKS[:-1]
    assert read.can_redo
    assert read.state == "done"


def test_no_log_is_an_empty_document_and_makes_no_file(journal):
    assert journal.read().marks == []
    assert not journal.path.exists()


@pytest.mark.parametrize("left", [1, 12, 10_000])
def test_a_last_line_that_was_cut_off_is_left_out_and_written_over(journal, left):
    journal.append(stroke("a"))
    whole = journal.path.read_bytes()
    journal.append(stroke("b"))
    with journal.path.open("rb+") as file:
        file.truncate(min(len(whole) + left, len(journal.path.read_bytes()) - 2))
    assert ids(journal.read()) == ["a"]
    journal.append(stroke("c"))
    assert ids(journal.read()) == ["a", "c"]
    assert journal.path.read_bytes().startswith(whole)


def test_a_first_line_that_was_cut_off_is_written_anew(journal):
    journal.append(stroke("a"))
    journal.path.write_bytes(journal.path.read_bytes()[:5])
    assert journal.read().marks == []
    journal.append(stroke("b"))
    assert ids(journal.read()) == ["b"]
    assert b'"version":3,"image":[40,60],"stamp":[' in journal.path.read_bytes().split(b"\n")[0]


@pytest.mark.parametrize("content", [gzip.compress(b"marks"), b"notes of somebody", b"[1, 2"])
def test_a_file_that_is_no_log_is_not_written_over(journal, content):
    journal.path.parent.mkdir(parents=True, exist_ok=True)
    journal.path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(journal.path))):
        journal.read()


@pytest.mark.parametrize("damage", [b"\0\0\0", b'{"mark":{"kind":"brush"}}', b"\xff\xfe", b""])
def test_a_damaged_line_in_the_middle_is_named(journal, damage):
    for name in "abc":
        journal.append(stroke(name))
    lines = journal.path.read_bytes().split(b"\n")
    lines[2] = damage
    journal.path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=r"image\.jsonl: line 3 is damaged .*delete this line and all after it"):
        journal.read()


def test_the_log_of_another_image_is_refused(journal, tmp_path):
    journal.append(stroke("a"))
    assert ids(journal_of(tmp_path, b"pixels").read()) == ["a"]
    with pytest.raises(DataError, match=r"about an image of 40 x 60 pixels, and .*image\.png has 20 x 60: put that"):
        journal_of(tmp_path, b"pixels", (20, 60)).read()
    other = journal_of(tmp_path, b"others")
    assert ids(other.read()) == ["a"]
    for look in (other.check_image, lambda: other.append(stroke("b"))):
        with pytest.raises(ReplacedError, match=r"about another image than .*image\.png is now: put that image back"):
            look()
    assert ids(journal_of(tmp_path, b"pixels").read()) == ["a"]


def test_an_image_that_is_replaced_while_it_is_worked_on_takes_no_more_marks(journal, tmp_path):
    journal.append(stroke("a"))
    (tmp_path / "image.png").write_bytes(b"another of any size")
    with pytest.raises(ReplacedError):
        journal.append(stroke("b"))
    (tmp_path / "image.png").write_bytes(b"pixels")
    journal.append(stroke("b"))
    assert ids(journal.read()) == ["a", "b"]


def test_an_image_that_was_replaced_after_it_was_listed_begins_no_log(journal, tmp_path):
    (tmp_path / "image.png").write_bytes(b"another of any size")
    with pytest.raises(ReplacedError, match="the list is about another image"):
        journal.append(stroke("a"))
    assert not journal.path.exists()


def test_an_image_that_is_gone_after_its_first_mark_takes_marks_still(journal, tmp_path):
    journal.append(stroke("a"))
    (tmp_path / "image.png").unlink()
    journal.append(stroke("b"))
    assert ids(journal.read()) == ["a", "b"]


def test_the_log_of_other_classes_is_refused_with_both_lists(journal, tmp_path):
    journal.append(stroke("a"))
    for classes in (("sky", "road"), ("road", "sky", "car")):
        theirs = ", ".join(classes)
        with pytest.raises(DataError, match=f"labels the classes road, sky, and the model has {theirs}: open it with"):
            journal_of(tmp_path, b"pixels", classes=classes).read()


def test_a_log_of_another_version_is_refused_with_both_versions(journal):
    journal.append(stroke("a"))
    content = journal.path.read_bytes()
    for version in (2, 7):
        journal.path.write_bytes(content.replace(b'"version":3', b'"version":%d' % version))
        with pytest.raises(DataError, match=f"has format {version}, and this segcode reads format 3: open it with the"):
            journal.read()


def test_a_folder_in_the_place_of_a_log_is_refused(journal):
    journal.path.mkdir(parents=True)
    with pytest.raises(DataError, match=r"image\.jsonl cannot be read \(Is a directory\)"):
        journal.read()


def test_a_log_that_another_program_wrote_to_is_not_written_over(journal):
    journal.append(stroke("a"))
    with journal.path.open("ab") as file:
        file.write(b"more\n")
    with pytest.raises(ReplacedError, match="another program wrote to"):
        journal.append(stroke("b"))
    journal.path.unlink()
    with pytest.raises(FileNotFoundError):
        journal.append(stroke("b"))


def test_lines_that_are_left_out_doubled_or_moved_are_found(journal):
    for name in "abcd":
        journal.append(stroke(name))
    head, a, b, c, d, _ = journal.path.read_bytes().split(b"\n")
    for lines in ([head, a, c, d], [head, a, b, b, c, d], [head, b, a, c, d], [a, b], [head, head, a]):
        journal.path.write_bytes(b"\n".join([*lines, b""]))
        with pytest.raises(DataError, match="is damaged"):
            journal.read()


def test_a_last_line_without_its_end_counts_and_is_gone_on_from(journal):
    journal.append(stroke("a"))
    journal.path.write_bytes(journal.path.read_bytes()[:-1])
    assert ids(journal.read()) == ["a"]
    journal.append(stroke("b"))
    assert ids(journal.read()) == ["a", "b"]


MUTATIONS = 1000 if os.environ.get("SEGCODE_SOAK") else 100


def test_a_damaged_log_is_refused_or_is_what_a_loss_of_power_leaves(journal):
    """Bytes changed, cut out, put in, doubled: an error with the file in it, or a beginning of the work."""
    random = np.random.default_rng(0)
    entries = [
        stroke("a"),
        stroke("b"),
        UNDO,
        *(Entry(mark=mark) for mark in MARKS),
        REDO,
        Entry(done=True),
        stroke("c"),
    ]
    states = []
    for entry in entries:
        states.append((journal.read().marks, journal.read().can_redo, journal.read().done))
        journal.append(entry)
    states.append((journal.read().marks, journal.read().can_redo, journal.read().done))
    whole = journal.path.read_bytes()
    refused = 0
    for _ in range(MUTATIONS):
        content = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            at = int(random.integers(len(content)))
            some = bytes(random.integers(0, 256, random.integers(1, 9), np.uint8))
            there = slice(at, at + int(random.integers(0, 40)))
            match random.integers(5):
                case 0:
                    content[at] ^= 1 << int(random.integers(8))
                case 1:
                    content[at:at] = some
                case 2:
                    del content[there]
                case 3:
                    content[at:at] = content[there]
                case 4:
                    content[at : at + len(some)] = some
        journal.path.write_bytes(content)
        try:
            read = journal.read()
        except DataError as error:
            refused += "image.jsonl" in str(error)
        else:
            assert (read.marks, read.can_redo, read.done) in states
    assert refused > 0.8 * MUTATIONS


def test_without_its_image_no_log_is_begun(journal):
    gone = Journal(journal.path, Photograph("image", journal.path.with_name("gone.png"), (40, 60)), ("road", "sky"))
    with pytest.raises(FileNotFoundError):
        gone.append(stroke("a"))
    assert not journal.path.exists()


def test_a_brush_that_is_wider_than_new_ones_may_be_is_read(journal):
    journal.append(Entry(mark=Brush(id="wide", label=1, radius=WIDEST + 1, points=((3, 4),))))
    assert ids(journal.read()) == ["wide"]


def test_what_cannot_reach_the_disk_leaves_the_log_as_it_was(journal, monkeypatch):
    journal.append(stroke("a"))
    before = journal.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            journal.append(stroke("b"))
    assert journal.path.read_bytes() == before
    journal.append(stroke("b"))
    assert ids(journal.read()) == ["a", "b"]


@pytest.mark.parametrize("room", [0, 7])
def test_a_disk_that_fills_up_within_a_line_leaves_the_log_as_it_was(journal, room):
    """The limit of a file's size stands for the disk's: what is above it is not written."""
    journal.append(stroke("a"))
    before = journal.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, hard))
    try:
        with pytest.raises(OSError, match=r"No space left|File too large"):
            journal.append(stroke("b"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.path.read_bytes() == before


def test_an_entry_is_on_the_disk_once_append_returns(journal, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(os.fstat(number).st_size), real(number)))
    journal.append(stroke("a"))
    assert synced[0] == journal.path.stat().st_size
    assert len(synced) == 2  # the folder, too, has to name the file


@pytest.mark.parametrize("fields", [{}, {"done": True, "step": "undo"}])
def test_an_entry_is_one_thing(fields):
    with pytest.raises(ValidationError, match="one mark, one step, one state"):
        Entry.model_validate(fields)
